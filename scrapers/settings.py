"""Scrapy's settings, the same for every source. Rates, limits and the user agent are added by each run."""

BOT_NAME = "paint-your-video"
SPIDER_MODULES = ["scrapers.spiders"]
DOWNLOADER_MIDDLEWARES = {
    "scrapy.downloadermiddlewares.robotstxt.RobotsTxtMiddleware": None,
    "scrapers.robots.PatientRobotsTxtMiddleware": 100,  # in its place
    "scrapers.sample.proxy.MuseumProxy": 740,  # before HttpProxyMiddleware, which is at 750
}
LOG_INSTALL_ROOT_HANDLER = False  # the pipeline's own is there

ROBOTSTXT_OBEY = True
COOKIES_ENABLED = False
DOWNLOAD_DELAY_JITTER = 0.0  # a host's delay is a promise, not an average
RETRY_TIMES = 2
RETRY_GIVE_UP_LOG_LEVEL = "DEBUG"  # failures are counted, by reason

# An address out of a museum's answer never leads to a file of this machine or, by way of a redirect, to another host.
DOWNLOAD_HANDLERS = {"data": None, "file": None, "ftp": None, "s3": None}
REDIRECT_ENABLED = False
METAREFRESH_ENABLED = False
DOWNLOAD_VERIFY_CERTIFICATES = True

REMOTE_CONTROL_ENABLED = False
TELNETCONSOLE_ENABLED = False

"""Scrapy's settings, the same for every source. Rates, limits and the user agent are added by each run."""

from scrapy.settings import default_settings

BOT_NAME = "paint-your-video"
SPIDER_MODULES = ["scrapers.spiders"]
DOWNLOADER_STATS = False
LOG_INSTALL_ROOT_HANDLER = False  # the pipeline's own is there

# Politeness, in the order in which requests pass.
ROBOTSTXT_OBEY = True
COOKIES_ENABLED = False
DOWNLOAD_DELAY_JITTER = 0.0  # a host's delay is a promise, not an average
RETRY_EXCEPTIONS = [*default_settings.RETRY_EXCEPTIONS, "scrapers.hosts.NoRobotsTxtError"]
RETRY_GIVE_UP_LOG_LEVEL = "DEBUG"  # failures are counted, by reason
DOWNLOADER_MIDDLEWARES = {
    "scrapy.downloadermiddlewares.offsite.OffsiteMiddleware": None,
    "scrapers.addresses.PublicAddresses": 90,  # in its place
    "scrapy.downloadermiddlewares.robotstxt.RobotsTxtMiddleware": None,
    "scrapers.hosts.ObeyRobotsTxt": 100,  # in its place
    "scrapy.downloadermiddlewares.httpauth.HttpAuthMiddleware": None,
    "scrapers.hosts.HostManners": 560,  # hears of answers and failures before RetryMiddleware, which is at 550
}

# Safety: an address out of a museum's answer leads to public hosts that are known beforehand, and nowhere else.
DOWNLOAD_HANDLERS = {
    "http": "scrapers.addresses.PublicHandler",
    "https": "scrapers.addresses.PublicHandler",
    **dict.fromkeys(["data", "file", "ftp", "s3"]),
}
DOWNLOAD_VERIFY_CERTIFICATES = True
REDIRECT_MAX_TIMES = 3
METAREFRESH_ENABLED = False
REMOTE_CONTROL_ENABLED = False
TELNETCONSOLE_ENABLED = False

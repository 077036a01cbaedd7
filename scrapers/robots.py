"""Obedience to robots.txt."""

from scrapy import Request
from scrapy.downloadermiddlewares.robotstxt import RobotsTxtMiddleware
from scrapy.robotstxt import RobotParser


class PatientRobotsTxtMiddleware(RobotsTxtMiddleware):
    """Scrapy's own, for requests that wait for a host's robots.txt side by side.

    Scrapy 2.19 hands the parser to the first that waits and None, which forbids nothing, to the others.
    """

    async def robot_parser(self, request: Request) -> RobotParser | None:
        """Wait for the parser, then ask for it once more: by now it is there for all."""
        await super().robot_parser(request)
        return await super().robot_parser(request)

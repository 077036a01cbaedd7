"""Tell somebody that a run did not put a model into service."""

import logging
import os
import socket

import requests

WEBHOOK = "PAINT_RETRAIN_WEBHOOK"
"""The variable of the environment that has the address, which is a secret: it is in no log and no error."""
TIMEOUT_S = 10.0

log = logging.getLogger(__name__)


def notify(message: str, **facts: str | int | None) -> None:
    """Post ``message`` as ``text`` of a JSON object, beside ``host`` and ``facts``, if the environment has an address.

    That nobody answers is only logged: what it was to tell is the failure that counts.
    """
    if not (address := os.environ.get(WEBHOOK)):
        return
    body = {"text": f"paint retrain on {socket.gethostname()}: {message}", "host": socket.gethostname(), **facts}
    try:
        with requests.post(address, json=body, timeout=TIMEOUT_S, allow_redirects=False, stream=True) as response:
            if response.status_code >= 300:
                log.warning("the webhook answered %d", response.status_code)
    except (requests.RequestException, ValueError) as error:  # whose text would tell the address
        log.warning("the webhook was not reached: %s", type(error).__name__)

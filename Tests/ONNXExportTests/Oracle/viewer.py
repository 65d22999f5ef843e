"""netron's drawing of a model, in a headless Chromium."""
import contextlib
import io
import os
import sys

import netron

sys.path.append(os.path.join(os.path.dirname(__file__), "../../ReportTests/Browser"))
import devtools


def drawn_nodes(path, seconds=240):
    """How many nodes netron draws of the model at `path`; None without a browser."""
    if devtools.find() is None:
        return None
    # What netron's server says, also about a browser that leaves before it has all the weights.
    silence = io.StringIO()
    with contextlib.redirect_stdout(silence), contextlib.redirect_stderr(silence):
        return drawn_quietly(path, seconds)


def drawn_quietly(path, seconds):
    address = netron.start(path, None, browse=False)
    browser = devtools.Browser(devtools.find())
    try:
        url = f"http://{address[0]}:{address[1]}/"
        browser.call("Page.navigate", url=url)
        browser.wait("document.readyState === 'complete'")
        # It asks once whether it may count its users.
        browser.evaluate("document.cookie = 'consent=yes;path=/'")
        browser.call("Page.navigate", url=url)
        browser.wait(
            "['default', 'alert'].some(name => document.body?.classList.contains(name))", seconds)
        return browser.evaluate("document.querySelectorAll('g.node').length")
    finally:
        browser.close()
        netron.stop(address)

"""The live view in a browser: `stream.py --serve`; imported only when asked for.

    view.WebView      the sink: keeps the newest results, never waits
    board.Board       passes results from the frame loop to the server, under one lock
    figures           the run's figures: JSON for the page, metrics for Prometheus
    streaming         images as JPEG, each encoded once for all viewers; WebRTC where aiortc
                      is installed
    server            the addresses of the page
    access            where it is served, and who may use it
    static/           the page itself: no build step, nothing from other hosts

The server runs in one asyncio loop beside the frame loop. Each client is sent the newest
image once it has received the one before, so that a slow one misses images and delays nobody.
"""

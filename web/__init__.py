"""The live view in a browser: `stream.py --serve`; imported only when asked for.

    view.WebView      the sink: keeps the newest of everything, never waits
    board.Board       what the frame loop leaves and the server takes, under one lock
    figures           the run's figures: JSON for the page, metrics for Prometheus
    streaming         images as JPEG, each once, however many watch; WebRTC where aiortc is
                      installed
    server            the addresses of the page
    access            where it is served, and who may use it
    static/           the page itself: no build step, nothing from elsewhere

The server runs in one asyncio loop beside the frame loop. Clients pull: each asks for the
newest image when it has sent the one before, so that a slow one misses images and holds
up nobody.
"""

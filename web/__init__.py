"""The live view in a browser: `stream.py --serve`; imported only when asked for.

    view.WebView      the sink: keeps the newest of everything, never waits
    board.Board       what the frame loop leaves and the server takes, under one lock
    census.Census     who is here and who was: counts, ages, a bounded table
    state             the same as JSON for the page, aggregates only where that is asked for
    metrics           the same for Prometheus
    pictures          each picture as JPEG, once, however many watch
    server            the addresses of the page; access: who may use them
    rtc               WebRTC, where aiortc is installed
    static/           the page itself: no build step, nothing from elsewhere

The server runs in one asyncio loop beside the frame loop. Clients pull: each asks for the
newest picture when it has sent the one before, so that a slow one misses pictures and
holds up nobody.
"""

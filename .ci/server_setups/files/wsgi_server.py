"""Serves `wsgi_app` or a minimal handler with a Python server: PORT NAME."""

import sys

from wsgi_app import app

PORT, NAME = int(sys.argv[1]), sys.argv[2]
HOST = "127.0.0.1"


def wsgiref():
    from wsgiref.simple_server import make_server

    make_server(HOST, PORT, app).serve_forever()


def tornado():
    import asyncio

    from tornado.web import Application, RequestHandler

    class Handler(RequestHandler):
        def get(self):
            self.write("ok")

        head = get

    async def serve():
        Application([("/", Handler)]).listen(PORT, HOST)
        await asyncio.Event().wait()

    asyncio.run(serve())


def aiohttp():
    from aiohttp import web

    async def handle(_request):
        return web.Response(text="ok")

    application = web.Application()
    application.router.add_get("/", handle)
    web.run_app(application, host=HOST, port=PORT, print=None, handle_signals=True)


def cheroot():
    from cheroot.wsgi import Server

    Server((HOST, PORT), app, numthreads=4).start()


def gevent():
    from gevent.pywsgi import WSGIServer

    WSGIServer((HOST, PORT), app, log=None).serve_forever()


def eventlet():
    import eventlet
    from eventlet import wsgi

    wsgi.server(eventlet.listen((HOST, PORT)), app, log_output=False)


def sanic():
    from sanic import Sanic
    from sanic.response import text

    server = Sanic("harness")

    @server.route("/", methods=["GET", "HEAD"])
    async def handle(_request):
        return text("ok")

    server.run(host=HOST, port=PORT, single_process=True, access_log=False, motd=False)


def robyn():
    from robyn import Robyn

    server = Robyn(__file__)

    @server.get("/")
    async def handle(request):
        return "ok"

    @server.head("/")
    async def handle_head(request):
        return ""

    server.start(host=HOST, port=PORT)


NAME = sys.argv.pop()
sys.argv.pop()
globals()[NAME]()

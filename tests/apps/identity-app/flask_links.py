"""A link by `url_for`, and a form that Flask-WTF protects. FIX: behind ProxyFix."""

import os

from flask import Flask, redirect, url_for
from flask_wtf.csrf import CSRFProtect, generate_csrf
from werkzeug.middleware.proxy_fix import ProxyFix

app = Flask(__name__)
app.secret_key = "nobody needs to know"
CSRFProtect(app)
if os.environ.get("FIX"):
    app.wsgi_app = ProxyFix(app.wsgi_app, x_for=1, x_proto=1, x_host=1, x_port=1)


@app.get("/")
def home():
    return (
        f"<!doctype html><a href='{url_for('left', _external=True)}'>left</a>"
        f"<form method=post action=/f><input name=csrf_token value='{generate_csrf()}'>"
        "<button>Send</button></form>"
    )


@app.get("/left")
def left():
    return "<h1>left</h1>"


@app.post("/f")
def form():
    return redirect("/left")


app.run(port=int(os.environ["PORT"]))

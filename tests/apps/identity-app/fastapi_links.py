"""A page with a link made by `url_for`. ROOT: a root_path; TRUSTED: TrustedHostMiddleware."""

import os

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse
from starlette.middleware.trustedhost import TrustedHostMiddleware

app = FastAPI(root_path=os.environ.get("ROOT", ""))
if os.environ.get("TRUSTED"):
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=["localhost"])


@app.get("/", response_class=HTMLResponse)
def home(request: Request):
    return f"<!doctype html><a href='{request.url_for('left')}'>left</a>"


@app.get("/left/")
def left():
    return "left"


uvicorn.run(app, port=int(os.environ["PORT"]), log_level="warning")

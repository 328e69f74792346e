"""Gradio below a path, of an app whose own first page is none."""

import os

import gradio
import uvicorn
from fastapi import FastAPI

with gradio.Blocks() as blocks:
    said = gradio.Textbox()
    gradio.Button("Run").click(lambda text: text.upper(), said, said)
app = gradio.mount_gradio_app(FastAPI(), blocks, path="/app")
uvicorn.run(app, port=int(os.environ["PORT"]), log_level="warning")

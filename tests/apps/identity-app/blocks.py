"""A Gradio app with a call, and a function that returns a file. MODE: plain, auth or mounted."""

import os
import tempfile
from pathlib import Path

import gradio

PORT, MODE = int(os.environ["PORT"]), os.environ.get("MODE", "plain")


def upper(text):
    return text.upper()


def in_a_file(text):
    path = Path(tempfile.mkdtemp()) / "said.txt"
    path.write_text(f"file: {text}")
    return str(path)


with gradio.Blocks() as blocks:
    said = gradio.Textbox(label="said")
    answer = gradio.Textbox(label="answer")
    gradio.Button("Run").click(upper, said, answer)
    made = gradio.File(label="made")
    gradio.Button("Save").click(in_a_file, said, made)

if MODE == "mounted":
    import uvicorn
    from fastapi import FastAPI

    # Told X-Forwarded-Host, Gradio forgets the path, unless it stands here as well.
    app = gradio.mount_gradio_app(FastAPI(), blocks, path="/app", root_path="/app")
    uvicorn.run(app, port=PORT, log_level="warning")
else:
    login = ("ada", "analytical") if MODE == "auth" else None
    blocks.launch(server_port=PORT, auth=login)

"""The smallest page of one framework, which MODE names."""

import os

PORT, MODE = int(os.environ["PORT"]), os.environ["MODE"]

if MODE == "dash":
    import dash

    app = dash.Dash()
    app.layout = dash.html.H1("a page")
    app.run(port=PORT)
elif MODE == "nicegui":
    from nicegui import ui

    ui.label("a page")
    ui.run(port=PORT, show=False, reload=False)
elif MODE == "panel":
    import panel

    panel.serve(panel.pane.Markdown("# a page"), port=PORT, show=False, address="localhost")

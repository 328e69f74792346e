import marimo

app = marimo.App()


@app.cell
def _():
    "a page"


if __name__ == "__main__":
    app.run()

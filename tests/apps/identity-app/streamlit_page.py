import streamlit

streamlit.write("a page")

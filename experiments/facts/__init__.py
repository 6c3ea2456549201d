"""The study of stylised facts: real records, populations, and the page that compares them."""

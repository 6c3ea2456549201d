"""Background traders who meet in an order book between one block and the next."""

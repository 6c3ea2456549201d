"""One Mesa agent that stands for thousands of alike accounts, as arrays."""

"""Pages as a person meets them: a real browser, real keys, both colour schemes, a desk's width and a phone's."""

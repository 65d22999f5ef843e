/// The version of sdloom, as its programs print it and its files record it.
public let toolVersion = "0.1.0"

/// The version of sdloom, printed by its programs and recorded in its files.
public let toolVersion = "0.1.0"

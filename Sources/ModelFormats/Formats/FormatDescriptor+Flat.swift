import OrderedJSON

extension FormatDescriptor {
  /// Flat files, which the FlatFormat module reads and writes.
  public static let sdflat: FormatDescriptor = {
    var kind = FormatDescriptor("sdflat", .beginnings([Array("SDFLAT\0\u{1}".utf8)]))
    kind.format = .sdflat
    kind.endings = [".sdflat"]
    kind.isWeights = true
    kind.refusal = { _ in
      FormatError(
        .unsupported, "this is an .sdflat package; adapters and embeddings cannot be read from it",
        hint: "open it as a checkpoint")
    }
    kind.fuzzTarget = "flat-header"
    kind.rows = [
      Row(title: "sdflat", reads: "[its own description](flat-format.md)", writes: "yes")
    ]
    return kind
  }()
}

extension TensorFile.Format {
  /// One file with everything that a model needs.
  public static let sdflat = TensorFile.Format(rawValue: "sdflat")
}

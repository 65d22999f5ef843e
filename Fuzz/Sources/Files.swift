@testable import ModelFormats

/// Any file: the format is told by its first bytes, and everything else is refused with reason.
func fuzzAnyFile(_ bytes: [UInt8]) {
  run(bytes, TensorFile.read)
}

func fuzzSafetensors(_ bytes: [UInt8]) {
  run(bytes, Safetensors.read)
}

func fuzzTorchLegacy(_ bytes: [UInt8]) {
  run(bytes, TorchLegacy.read)
}

/// An archive as it is; or, since checksums keep changed ones out, an archive made around a
/// pickle: what the input holds is the pickle, and its first bytes say what else stands there.
func fuzzTorchZip(_ bytes: [UInt8]) {
  if bytes.starts(with: [0x50, 0x4B]) || bytes.isEmpty {
    run(bytes, TorchCheckpoint.read)
  } else {
    run(StoredArchive.checkpoint(pickle: bytes.dropFirst(), form: bytes[0]), TorchCheckpoint.read)
  }
}

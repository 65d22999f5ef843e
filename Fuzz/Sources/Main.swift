import Glibc

/// The fuzzed parsers, by the name under which the program is called.
private let targets: [String: @Sendable (_ bytes: [UInt8]) -> Void] = [
  "any": fuzzAnyFile,
  "flat-header": fuzzFlatHeader,
  "gguf": fuzzGGUF,
  "json": fuzzJSON,
  "onnx": fuzzONNX,
  "pickle": fuzzPickle,
  "picture": fuzzPicture,
  "safetensors": fuzzSafetensors,
  "safety": fuzzSafety,
  "shard-index": fuzzShardIndex,
  "torch-legacy": fuzzTorchLegacy,
  "torch-tar": fuzzTorchTar,
  "torch-zip": fuzzTorchZip,
  "zip": fuzzZip,
]

private nonisolated(unsafe) var target: (@Sendable (_ bytes: [UInt8]) -> Void)?

/// Picks the parser by the name under which the program was called: `build` links one program
/// and names it once for each.
@_cdecl("LLVMFuzzerInitialize")
func initialize(
  _ count: UnsafeMutablePointer<Int32>,
  _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>>
) -> Int32 {
  let path = arguments.pointee[0].map { String(cString: $0) } ?? ""
  let name = path.split(separator: "/").last.map(String.init) ?? ""
  guard let found = targets[name] else {
    print("call this program by one of these names: \(targets.keys.sorted())")
    exit(64)
  }
  target = found
  return 0
}

@_cdecl("LLVMFuzzerTestOneInput")
func testOneInput(_ bytes: UnsafePointer<UInt8>?, _ count: Int) -> Int32 {
  target?([UInt8](UnsafeBufferPointer(start: bytes, count: count)))
  return 0
}

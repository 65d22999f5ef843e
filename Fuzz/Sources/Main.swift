import Glibc

@testable import ModelFormats

/// The parsers that are fuzzed, by the names under which the program is called: those below, and
/// the reader of every other format of the registry.
private let targets: [String: @Sendable (_ bytes: [UInt8]) -> Void] = {
  var targets = ownTargets
  for kind in FormatDescriptor.all {
    guard let name = kind.fuzzTarget, let read = kind.read, targets[name] == nil else { continue }
    targets[name] = { run($0, read) }
  }
  return targets
}()

/// Parts of formats, and formats whose inputs are made from the bytes.
private let ownTargets: [String: @Sendable (_ bytes: [UInt8]) -> Void] = [
  "any": fuzzAnyFile,
  "flat-header": fuzzFlatHeader,
  "json": fuzzJSON,
  "pickle": fuzzPickle,
  "picture": fuzzPicture,
  "safety": fuzzSafety,
  "shard-index": fuzzShardIndex,
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
    // `build` reads them.
    print("targets: \(targets.keys.sorted().joined(separator: " "))")
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

import ArgumentParser
import Checkpoint
import ModelFormats
import OrderedJSON
import Terminal

/// Prints the hashes that model sites use.
struct HashCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "hash",
    abstract: "Print the hashes that model sites use.",
    discussion: """
      Prints the SHA-256 of the file and the short forms: AutoV1 (64 KiB from byte 1,048,576), \
      AutoV2 (the first digits of the SHA-256) and AutoV3 (the bytes after a safetensors \
      header). A file that is too short for AutoV1 does not get one; the web UI prints e3b0c442 \
      for it, the hash of nothing.

      Any file that is not empty can be hashed, even if it is not a checkpoint. For an index, \
      the index itself is hashed, not its shards. For a repository, the weights files that other \
      commands read are hashed: one format and variant per network. Other weights files are \
      listed.

      --content adds a hash of the weights. It is the same for a .ckpt, a repository and an \
      .sdflat file with the same values and types.

      EXAMPLE
        sdinspect hash v1-5-pruned-emaonly.safetensors
      """)

  @OptionGroup var input: InputOptions

  @Flag(help: "Add the CRC-32 of each file.")
  var crc32 = false

  @Flag(help: "Add a hash of the weights that does not depend on the file format.")
  var content = false

  func run() throws {
    let checkpoint = try checkpoint()
    let paths = try files(checkpoint)
    let bar = ProgressBar("hashing", isQuiet: input.json)
    let hashes: [FileHashes]
    let identity: ContentHash?
    do {
      defer { bar.finish() }
      hashes = try FileHashes.of(paths, crc32: crc32) { update(bar, $0, $1) }
      identity =
        content ? try checkpoint.flatMap { try ContentHash($0) { update(bar, $0, $1) } } : nil
    }
    guard !input.json else {
      var object = json(hashes, identity)
      object["not_hashed"] = .array((checkpoint?.otherWeights ?? []).map { .string($0) })
      printJSON(object)
      return
    }
    for hash in hashes { printText(hash) }
    if let others = checkpoint?.otherWeights, !others.isEmpty {
      Console.printSentence(
        "other weights files, not hashed: " + Console.sanitized(others.joined(separator: ", ")))
    }
    if let identity {
      Console.print(Console.heading("content"))
      Console.print(line("all", identity.sha256))
      for component in identity.components {
        Console.print(line(component.name.rawValue, component.sha256))
      }
    }
  }

  /// The checkpoint at the path; nil for a file of which only the bytes matter.
  private func checkpoint() throws -> ModelCheckpoint? {
    let isRead = try content || ModelCheckpoint.isDirectory(input.path)
    return isRead ? try input.open() : nil
  }

  /// The given file; for a directory the files with tensors, each once.
  private func files(_ checkpoint: ModelCheckpoint?) throws -> [String] {
    guard let checkpoint, try ModelCheckpoint.isDirectory(input.path) else { return [input.path] }
    var seen: Set<ExactName> = []
    return checkpoint.components.flatMap(\.files).filter { seen.insert(ExactName($0)).inserted }
  }

  private func update(_ bar: ProgressBar, _ done: Int, _ total: Int) {
    bar.update(
      Double(done) / Double(max(1, total)), "\(Format.bytes(done)) of \(Format.bytes(total))")
  }

  private func line(_ name: String, _ value: String) -> String {
    let space = String(repeating: " ", count: max(1, 14 - TextWidth.columns(name)))
    return "  " + Style.faint.apply(to: Console.sanitized(name)) + space + value
  }

  private func printText(_ hash: FileHashes) {
    Console.print(
      "\(Console.heading(hash.path)) (\(Format.count(hash.byteCount, "byte")))")
    Console.print(line("SHA-256", hash.sha256))
    Console.print(
      line("AutoV1", hash.autoV1 ?? "none: the file ends before byte 1,048,576, where it begins"))
    Console.print(line("AutoV2", hash.autoV2))
    if let autoV3 = hash.autoV3 { Console.print(line("AutoV3", autoV3)) }
    if let crc32 = hash.crc32 { Console.print(line("CRC-32", crc32)) }
    Console.print("")
  }

  private func json(_ hashes: [FileHashes], _ identity: ContentHash?) -> JSONObject {
    var object: JSONObject = [
      "files": .array(
        hashes.map { hash in
          [
            "file": .string(hash.path), "bytes": .integer(hash.byteCount),
            "sha256": .string(hash.sha256),
            "autov1": hash.autoV1.map { .string($0) } ?? .null,
            "autov2": .string(hash.autoV2),
            "autov3": hash.autoV3.map { .string($0) } ?? .null,
            "crc32": hash.crc32.map { .string($0) } ?? .null,
          ]
        })
    ]
    if content {
      object["content"] = identity.map { .string($0.sha256) } ?? .null
      object["components"] = .array(
        (identity?.components ?? []).map {
          ["name": .string($0.name.rawValue), "content": .string($0.sha256)]
        })
    }
    return object
  }
}

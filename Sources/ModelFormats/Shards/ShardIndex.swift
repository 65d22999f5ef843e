import OrderedJSON

/// The index of weights split across several files.
///
///     {"metadata": {"total_size": 3438167536},
///      "weight_map": {"conv_in.weight": "diffusion_pytorch_model-00001-of-00002.safetensors", …}}
///
/// `weight_map` gives for each tensor its file, a shard, in the index's directory; shards are
/// safetensors or PyTorch files. `total_size` is the size of all tensors and optional.
///
/// The index and the shards must agree: a tensor only in one of them, in two shards, or in a shard
/// other than declared is rejected. A wrong `total_size` is only a warning, because writers count
/// tied tensors differently.
///
/// Source: `split_torch_state_dict_into_shards` in huggingface_hub, and how diffusers and
/// transformers read its result.
package enum ShardIndex {
  /// The maximum size of an index.
  package static let sizeLimit = 64 << 20
  /// The maximum number of shards: each needs a file descriptor.
  package static let shardLimit = 512

  /// Reads the index and all its shards, and checks that they agree.
  ///
  /// The result looks like one file with all tensors:
  /// ``TensorFile/path`` is the index, the format is that of the first shard, ``TensorFile/files``
  /// are the shards; each tensor has its own shard's file and offset. Tensors are sorted by shard
  /// name and then by their order in the shard. ``TensorFile/open(_:)`` calls this for an index,
  /// detected from its content.
  ///
  /// - Throws: ``FormatError`` about the index with the offset of the problem; `notFound` with the
  ///   names of missing shards; the shard's own error if it cannot be read.
  package static func read(_ file: MappedFile) throws(FormatError) -> TensorFile {
    do throws(FormatError) {
      let index = try ShardMap(parsing: file)
      return try gather(index, of: file)
    } catch {
      throw error.inFile(file.path)
    }
  }

  /// Whether JSON text is an index, judged by its beginning.
  static func isIndex(_ file: MappedFile) -> Bool {
    let head = unsafe file.withBytes(in: 0..<min(file.count, 1 << 16)) { unsafe [UInt8]($0) }
    return head.firstRange(of: Array("\"weight_map\"".utf8)) != nil
  }

  private static func gather(
    _ index: ShardMap, of file: MappedFile
  ) throws(FormatError) -> TensorFile {
    let shards = try open(index, of: file)
    let files = Dictionary(
      shards.map { (ExactName($0.name), $0.file) }, uniquingKeysWith: { first, _ in first })
    var seen: [ExactName: String] = [:]
    for (name, shard) in shards {
      for tensor in shard.tensors {
        let entry = index.entries[ExactName(tensor.name)]
        if let other = seen.updateValue(name, forKey: ExactName(tensor.name)) {
          throw FormatError(
            .malformed, "the tensor is in two shards, \(other) and \(name)",
            offset: entry?.offset, context: tensor.name)
        }
        guard let entry else {
          throw FormatError(
            .malformed, "\(name) contains the tensor, but the index does not list it",
            offset: index.mapOffset, context: tensor.name,
            hint: "use the index and the shards of the same version of the repository")
        }
        // If its own shard also has it, it is a duplicate, which is reported when that shard is
        // read.
        let announced = ExactName(entry.shard)
        guard announced == ExactName(name) || files[announced]?[tensor.name] != nil else {
          throw FormatError(
            .malformed, "the index places the tensor in \(entry.shard), but \(name) contains it",
            offset: entry.offset, context: tensor.name)
        }
      }
    }
    for (name, entry) in index.entries.sorted(by: { $0.value.offset < $1.value.offset })
    where seen[name] == nil {
      throw FormatError(
        .malformed, "the index places the tensor in \(entry.shard), but no shard contains it",
        offset: entry.offset, context: name.text,
        hint: "use the index and the shards of the same version of the repository")
    }
    return merge(shards, index: index, file: file)
  }

  private static func merge(
    _ shards: [(name: String, file: TensorFile)], index: ShardMap, file: MappedFile
  ) -> TensorFile {
    let tensors = shards.flatMap(\.file.tensors)
    var warnings = shards.flatMap { shard in shard.file.warnings.map { "\(shard.name): \($0)" } }
    let total = tensors.reduce(0) { $0 &+ $1.byteCount }
    if let announced = index.totalSize, announced != total {
      warnings.append(
        "the index declares \(announced.of("byte")) of tensors, but the shards contain \(total)")
    }
    // Metadata that is equal in all shards is metadata of the whole.
    let others = shards.dropFirst().map { shard in
      Dictionary(
        shard.file.metadata.map { (ExactName($0.key), ExactName($0.value)) },
        uniquingKeysWith: { first, _ in first })
    }
    let metadata = (shards.first?.file.metadata ?? []).filter { pair in
      others.allSatisfy { $0[ExactName(pair.key)] == ExactName(pair.value) }
    }
    let unread = shards.flatMap { shard in
      shard.file.unread.map {
        UnreadValues(
          $0.kind, "\(shard.name): \($0.name)", byteCount: $0.byteCount, reason: $0.reason)
      }
    }
    var safety = Safety()
    for shard in shards { safety.add(shard.file.safety, file: shard.name) }
    return TensorFile(
      path: file.path, format: shards.first?.file.format ?? .safetensors, metadata: metadata,
      tensors: tensors, warnings: warnings, files: shards.map(\.file.path), unread: unread,
      safety: safety)
  }

  private static func open(
    _ index: ShardMap, of file: MappedFile
  ) throws(FormatError) -> [(name: String, file: TensorFile)] {
    let references = index.shards.map {
      (name: $0.name, offset: $0.offset, file: FileReference($0.name, beside: file.path))
    }
    let missing = references.filter { !$0.file.exists }
    if let first = missing.first {
      if let link = DanglingLink(first.file.path) {
        throw FormatError(
          .notFound, "the shard \(link.predicate)", offset: first.offset, context: first.name,
          hint: DanglingLink.hint)
      }
      let others = missing.count > 1 ? " and \(missing.count - 1) more" : ""
      throw FormatError(
        .notFound, "the shard \(first.name)\(others) of \(references.count) is missing",
        offset: first.offset, context: first.name,
        hint: "download \(missing.prefix(3).map(\.name).joined(separator: ", "))"
          + "\(missing.count > 3 ? "…" : "") of the model's repository to the index's directory")
    }
    var shards: [(name: String, file: TensorFile)] = []
    for reference in references {
      guard reference.file.isContained(beside: file.path) else {
        throw FormatError(
          .malformed, "the shard is a symbolic link to a file outside the index's directory",
          offset: reference.offset, context: reference.name,
          hint: "replace the link by a copy of that file")
      }
      let shard = try MappedFile(path: reference.file.path)
      shards.append((reference.name, try TensorFile.read(shard)))
    }
    return shards
  }
}

extension FormatDescriptor {
  /// An index of shards: JSON with a `weight_map`.
  public static let shardIndex: FormatDescriptor = {
    var kind = FormatDescriptor(
      "shardIndex", .test { $0.isText("{", "[") && ShardIndex.isIndex($0.file) })
    kind.readIndex = ShardIndex.read
    kind.refusal = { _ in
      FormatError(
        .malformed, "expected a shard, found a shard index", hint: "download the shard again")
    }
    kind.fuzzTarget = "shard-index"
    kind.rows = [
      Row(
        title: "shards: `*.index.json` with safetensors or PyTorch files",
        reads: "as if they were one file", writes: "no")
    ]
    return kind
  }()
}

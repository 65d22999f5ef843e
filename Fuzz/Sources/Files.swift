@testable import ModelFormats

/// Any file: its first bytes determine the format; everything else is rejected with a reason.
func fuzzAnyFile(_ bytes: [UInt8]) {
  run(bytes, TensorFile.read)
}

/// The index of shards alone: its shards would have to lie on disk.
func fuzzShardIndex(_ bytes: [UInt8]) {
  let file = MappedFile(contents: bytes, path: "model.safetensors.index.json")
  do throws(FormatError) {
    let map = try ShardMap(parsing: file)
    require(!map.entries.isEmpty && !map.shards.isEmpty, "an index of nothing")
    for (name, _) in map.shards {
      require(
        !name.contains("/") && !name.utf8.contains(0) && name != ".."
          && name.hasSuffix(".safetensors"),
        "a shard that leads away: \(name)")
    }
    for (_, entry) in map.entries {
      require(map.shards.contains { $0.name == entry.shard }, "\(entry.shard) is not listed")
    }
    require((map.totalSize ?? 0) >= 0, "a total of \(map.totalSize ?? 0)")
  } catch {
    check(error, in: bytes.count)
  }
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

/// An archive as is; or, since checksums reject changed headers, an archive built around its
/// members: two 2-byte lengths, then the storages, the tensors and the object.
func fuzzTorchTar(_ bytes: [UInt8]) {
  guard bytes.count >= 4, !bytes.dropFirst(257).starts(with: "ustar".utf8) else {
    return run(bytes, TorchTar.read)
  }
  let storages = Int(bytes[0]) | Int(bytes[1]) << 8
  let tensors = Int(bytes[2]) | Int(bytes[3]) << 8
  let rest = bytes.dropFirst(4)
  let members = [
    ("storages", rest.prefix(storages)), ("tensors", rest.dropFirst(storages).prefix(tensors)),
    ("pickle", rest.dropFirst(storages + tensors)),
  ]
  run(members.flatMap { StoredArchive.tarMember($0, $1) }, TorchTar.read)
}

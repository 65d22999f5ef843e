/// Builds valid and invalid pickles of PyTorch checkpoints.
package enum TorchBuilder {
  package typealias Record = ZipBuilder.Record

  /// The persistent identifier of a storage.
  package static func storage(
    _ type: String = "FloatStorage", key: String = "0", count: Int = 6, location: String = "cpu"
  ) -> [UInt8] {
    pickle(
      "(", text("storage"), "ctorch\n\(type)\n", text(key), text(location), integer(count), "tQ")
  }

  package static func text(_ text: String) -> [UInt8] {
    [UInt8(ascii: "X")] + littleEndian(UInt32(text.utf8.count)) + Array(text.utf8)
  }

  package static func integer(_ value: Int) -> [UInt8] {
    [0x8A, 8] + littleEndian(Int64(value))
  }

  package static func tuple(_ values: [Int]) -> [UInt8] {
    pickle("(", values.flatMap(integer), "t")
  }

  /// A call of `_rebuild_tensor_v2`.
  package static func tensor(
    storage: [UInt8] = storage(), offset: Int = 0, sizes: [Int] = [2, 3], strides: [Int] = [3, 1]
  ) -> [UInt8] {
    pickle(
      "ctorch._utils\n_rebuild_tensor_v2\n(", storage, integer(offset), tuple(sizes),
      tuple(strides), 0x89, "ccollections\nOrderedDict\n)RtR")
  }

  /// A pickle of a dictionary with one tensor, `w`.
  package static func dictionary(_ tensor: [UInt8]) -> [UInt8] {
    pickle(0x80, 2, "}", text("w"), tensor, "s.")
  }

  /// The values 0 to 5 in 24 bytes.
  package static let values: [UInt8] = (0..<6).flatMap { littleEndian(Float($0).bitPattern) }

  /// An archive of a pickle and the storage `0`.
  package static func archive(
    _ pickle: [UInt8] = dictionary(tensor()), values: [UInt8] = values, more: [Record] = []
  ) -> ZipBuilder {
    ZipBuilder(
      [
        Record("archive/data.pkl", pickle), Record("archive/version", Array("3\n".utf8)),
        Record("archive/data/0", values),
      ] + more)
  }
}

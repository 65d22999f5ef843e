// The table as a whole.
extension JobField {
  /// Every field, in the order of the help.
  public static let all: [JobField] = pictureFields + drawingFields + outputFields

  /// The fields whose file hashes are stored in an image's metadata, in its order.
  public static let hashed: [JobField] = [initial, mask, controlImage, lora, embedding]

  private static let byName = Dictionary(uniqueKeysWithValues: all.map { ($0.name, $0) })

  /// The field with this name; nil if there is none.
  public static func named(_ name: String) -> JobField? { byName[name] }
}

// The table as a whole.
extension JobField {
  /// Every field, in the order of the help.
  public static let all: [JobField] = pictureFields + drawingFields + outputFields

  /// The fields whose files' hashes a picture's record holds, in its order.
  public static let hashed: [JobField] = [initial, mask, controlImage, lora, embedding, vae]

  private static let byName = Dictionary(uniqueKeysWithValues: all.map { ($0.name, $0) })

  /// The field of a name; nil where there is none.
  public static func named(_ name: String) -> JobField? { byName[name] }
}

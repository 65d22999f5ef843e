extension BinaryInteger {
  /// The number with its noun for messages: `1 tensor`, `3 tensors`.
  ///
  /// - Parameter plural: the plural, if not the noun with an s: `entries`.
  package func of(_ noun: String, _ plural: String? = nil) -> String {
    "\(self) \(self == 1 ? noun : plural ?? noun + "s")"
  }
}

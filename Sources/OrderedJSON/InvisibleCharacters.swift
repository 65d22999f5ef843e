extension Unicode.Scalar {
  /// Whether a character is invisible but affects the display of others: line and paragraph
  /// separators, bidirectional marks, and zero-width characters.
  ///
  /// Source: Unicode 16.0, properties Default_Ignorable_Code_Point and Bidi_Control, and the blank
  /// Braille pattern; variation selectors, which occur in ordinary text, are excluded.
  package var isInvisible: Bool {
    switch value {
    case 0xAD, 0x34F, 0x61C, 0x115F...0x1160, 0x17B4...0x17B5, 0x180E, 0x200B...0x200F,
      0x2028...0x202E, 0x2060...0x206F, 0x2800,
      0x3164, 0xFEFF, 0xFFA0, 0xFFF9...0xFFFB, 0x1D173...0x1D17A, 0xE0000...0xE007F:
      true
    default: false
    }
  }
}

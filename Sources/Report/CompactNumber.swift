import Glibc
import OrderedJSON

/// Numbers with no more digits than useful.
package enum CompactNumber {
  /// `value` rounded to six significant digits; null if it is not finite.
  package static func json(_ value: Double) -> JSON {
    guard value.isFinite else { return .null }
    guard value != 0 else { return 0 }
    let exponent = Int(log10(value.magnitude).rounded(.down))
    // Powers of ten beyond 10^22 are not exact, and at the ends of the range overflow.
    guard (-16...20).contains(exponent) else { return .number(value) }
    let scale = pow(10, Double(abs(5 - exponent)))
    let rounded =
      exponent <= 5 ? (value * scale).rounded() / scale : (value / scale).rounded() * scale
    return rounded == rounded.rounded() && rounded.magnitude < 1e15
      ? .integer(Int(rounded)) : .number(rounded)
  }
}

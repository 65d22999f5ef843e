import ArgumentParser

/// Refuses a value out of range, naming the range.
func checkRange<Number: Comparable>(
  _ name: String, _ value: Number, in range: ClosedRange<Number>
) throws {
  guard range.contains(value) else {
    throw ValidationError(
      "\(name) is \(value); it goes from \(range.lowerBound) to \(range.upperBound)")
  }
}

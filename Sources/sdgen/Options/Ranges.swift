import ArgumentParser

/// Reads a whole number; rejects other values with the valid range.
func wholeNumber(
  in range: ClosedRange<Int>, multipleOf factor: Int = 1
) -> @Sendable (String) throws -> Int {
  { text in
    guard let number = Int(text), range.contains(number), number % factor == 0 else {
      throw ValidationError(
        "use a \(factor == 1 ? "whole number" : "multiple of \(factor)") from"
          + " \(range.lowerBound) to \(range.upperBound == .max ? "2^63-1" : "\(range.upperBound)")"
      )
    }
    return number
  }
}

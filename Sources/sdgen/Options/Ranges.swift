import ArgumentParser

/// Reads a whole number; what is none, and what is out of range, is refused with the range.
func wholeNumber(
  in range: ClosedRange<Int>, multipleOf factor: Int = 1
) -> @Sendable (String) throws -> Int {
  { text in
    guard let number = Int(text), range.contains(number), number % factor == 0 else {
      throw ValidationError(
        "give a \(factor == 1 ? "whole number" : "multiple of \(factor)") from"
          + " \(range.lowerBound) to \(range.upperBound)")
    }
    return number
  }
}

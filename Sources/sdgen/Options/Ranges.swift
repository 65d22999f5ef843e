import ArgumentParser
import Diffusion
import Pictures

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

/// Reads a number, as ``wholeNumber(in:multipleOf:)`` does.
///
/// - Parameter isAbove: whether the lower end is not in the range itself.
func number(
  in range: ClosedRange<Double>, isAbove: Bool = false
) -> @Sendable (String) throws -> Double {
  { text in
    guard let number = Double(text), range.contains(number),
      !isAbove || number > range.lowerBound
    else {
      let ends = [range.lowerBound, range.upperBound].map(plainNumber)
      throw ValidationError(
        isAbove
          ? "give a number above \(ends[0]), up to \(ends[1])"
          : "give a number from \(ends[0]) to \(ends[1])")
    }
    return number
  }
}

/// Refuses a value that is out of range where another option is given, naming the range.
func checkRange<Number: Comparable>(
  _ name: String, _ value: Number, in range: ClosedRange<Number>
) throws {
  guard range.contains(value) else {
    throw ValidationError(
      "\(name) is \(value); it goes from \(range.lowerBound) to \(range.upperBound)")
  }
}

/// A whole number without its fraction: 7.5, 7.
func plainNumber(_ value: Double) -> String {
  let text = "\(value)"
  return text.hasSuffix(".0") ? String(text.dropLast(2)) : text
}

/// Refuses a picture's name whose ending belongs to no format; one without an ending is PNG.
func checkPictureEnding(_ name: String, _ path: String, orElse way: String = "") throws {
  let ending = PicturePlan.split(path).ending
  guard ending.isEmpty || PictureFormat(path: path) != nil else {
    throw ValidationError("\(name) is \(path); end it in .png, .jpg or .webp\(way)")
  }
}

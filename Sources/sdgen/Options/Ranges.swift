import ArgumentParser
import Diffusion

/// Refuses a value out of range, naming the range.
func checkRange<Number: Comparable>(
  _ name: String, _ value: Number, in range: ClosedRange<Number>
) throws {
  guard range.contains(value) else {
    throw ValidationError(
      "\(name) is \(value); it goes from \(range.lowerBound) to \(range.upperBound)")
  }
}

/// Refuses a picture's name whose ending belongs to no format; one without an ending is PNG.
func checkPictureEnding(_ name: String, _ path: String, orElse way: String = "") throws {
  let ending = PicturePlan.split(path).ending
  guard ending.isEmpty || PictureFormat(path: path) != nil else {
    throw ValidationError("\(name) is \(path); end it in .png, .jpg or .webp\(way)")
  }
}

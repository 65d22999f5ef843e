import ModelFormats
import OrderedJSON

/// One field of `scheduler_config.json`, with checked conversions.
struct SchedulerField {
  let name: String
  let value: JSON

  func malformed(_ expected: String) -> FormatError {
    FormatError(
      .malformed, "\(name) must be \(expected) (got \(value.text(.compact)))",
      context: "scheduler_config.json")
  }

  func unsupported(_ reason: String) -> FormatError {
    FormatError(
      .unsupported, "\(name) is \(value.text(.compact)); \(reason)",
      context: "scheduler_config.json", hint: "remove the field if the model does not need it")
  }

  func integer(in range: ClosedRange<Int>) throws(FormatError) -> Int {
    guard let integer = value.int, range.contains(integer) else {
      throw malformed("an integer from \(range.lowerBound) to \(range.upperBound)")
    }
    return integer
  }

  func number(in range: ClosedRange<Double>) throws(FormatError) -> Double {
    guard let number = value.double, range.contains(number) else {
      throw malformed("a number from \(range.lowerBound) to \(range.upperBound)")
    }
    return number
  }

  /// True or false; null is false, because diffusers tests the value for truth.
  func flag() throws(FormatError) -> Bool {
    if value.isNull { return false }
    guard let flag = value.bool else { throw malformed("true or false") }
    return flag
  }

  /// Rejects any other value of a flag.
  func require(_ supported: Bool) throws(FormatError) {
    if try flag() != supported { throw unsupported("only \(supported) is supported") }
  }

  /// Rejects any other string.
  func require(oneOf supported: [String]) throws(FormatError) {
    guard let text = value.string else { throw malformed("a string") }
    guard supported.contains(text) else {
      throw unsupported("supported: \(supported.joined(separator: ", "))")
    }
  }

  func choice<Choice: RawRepresentable<String>>() throws(FormatError) -> Choice {
    guard let text = value.string else { throw malformed("a string") }
    guard let choice = Choice(rawValue: text) else { throw unsupported("it is not supported") }
    return choice
  }

  func integers(in range: ClosedRange<Int>) throws(FormatError) -> [Int] {
    let integers = (value.array ?? []).compactMap(\.int).filter(range.contains)
    guard let count = value.array?.count, integers.count == count else {
      throw malformed("a list of integers from \(range.lowerBound) to \(range.upperBound)")
    }
    return integers
  }

  func betas() throws(FormatError) -> [Float] {
    let numbers = (value.array ?? []).map(\.double)
    let betas = numbers.compactMap { $0 }.filter { $0 > 0 && $0 < 1 }.map { Float($0) }
    guard !betas.isEmpty, betas.count == numbers.count else {
      throw malformed("a list of numbers between 0 and 1")
    }
    return betas
  }
}

/// The results of `body` on the elements of two arrays of equal length.
///
/// Schedulers write each formula with one rounding to float32 per operation, in the reference's
/// order, so that results agree to the last bits.
@inline(__always)
func elementwise(
  _ first: [Float], _ second: [Float], _ body: (Float, Float) -> Float
) -> [Float] {
  precondition(first.count == second.count, "element counts differ")
  return [Float](unsafeUninitializedCapacity: first.count) { output, initialized in
    for index in first.indices {
      output.initializeElement(at: index, to: body(first[index], second[index]))
    }
    initialized = first.count
  }
}

/// The results of `body` on the elements of three arrays of equal length.
@inline(__always)
func elementwise(
  _ first: [Float], _ second: [Float], _ third: [Float], _ body: (Float, Float, Float) -> Float
) -> [Float] {
  precondition(first.count == second.count && first.count == third.count, "element counts differ")
  return [Float](unsafeUninitializedCapacity: first.count) { output, initialized in
    for index in first.indices {
      output.initializeElement(at: index, to: body(first[index], second[index], third[index]))
    }
    initialized = first.count
  }
}

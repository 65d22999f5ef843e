import ModelFormats
import Testing

@Suite struct TensorTests {
  @Test(
    arguments: [
      ([], 1), ([0], 0), ([3, 0, 4], 0), ([0, .max, .max], nil), ([2, 3], 6), ([.max, 2], nil),
      ([-1], nil),
      ([-1, 0], nil),
    ] as [([Int], Int?)])
  func elementsAreCountedOrRefused(dimensions: [Int], count: Int?) {
    #expect(Shape(dimensions).elementCount == count)
  }

  @Test(
    arguments: [
      (Shape([2, 3]), DType.float32, 24), (Shape([3]), .float4, nil), (Shape([4]), .float6E2M3, 3),
      (Shape([]), .bool, 1), (Shape([1 << 62]), .float32, nil), (Shape([1]), .complex128, 16),
    ] as [(Shape, DType, Int?)])
  func bytesAreCountedOrRefused(shape: Shape, dtype: DType, count: Int?) {
    #expect(shape.byteCount(of: dtype) == count)
  }

  /// Bytes 0 to 23 as 12 elements of two bytes; expected indices by hand.
  @Test(
    arguments: [
      ([3, 4], [4, 1], 0, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]),
      ([4, 3], [1, 4], 0, [0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11]),
      ([2, 2], [4, 1], 5, [5, 6, 9, 10]),
      ([2, 3], [0, 1], 2, [2, 3, 4, 2, 3, 4]),
      ([3, 1, 2], [4, 1_000_000, 2], 1, [1, 3, 5, 7, 9, 11]),
      ([2, 1, 2, 2], [6, 3, 2, 1], 0, [0, 1, 2, 3, 6, 7, 8, 9]),
      ([], [], 7, [7]),
      ([0, 4], [4, 1], 0, []),
    ] as [([Int], [Int], Int, [Int])])
  func stridedElementsAreGathered(
    sizes: [Int], strides: [Int], offset: Int, elements: [Int]
  ) throws {
    let bytes = [UInt8](0..<24)
    let expected = elements.flatMap { [UInt8($0 * 2), UInt8($0 * 2 + 1)] }
    let inMemory = Tensor(
      name: "t", dtype: .int16, shape: Shape(sizes),
      storage: .stridedMemory(bytes, offset: offset * 2, strides: strides))
    #expect(inMemory.contiguousBytes() == expected)
    let directory = try ScratchDirectory()
    // Three bytes first, so that elements are at odd offsets.
    let file = try MappedFile(path: try directory.write([0xFF, 0xFF, 0xFF] + bytes))
    let mapped = Tensor(
      name: "t", dtype: .int16, shape: Shape(sizes),
      storage: .strided(file, offset: 3 + offset * 2, strides: strides))
    #expect(mapped.withContiguousBytes { [UInt8]($0) } == expected)
    #expect(mapped.reshaped(Shape([elements.count])).contiguousBytes() == expected)
  }

  @Test func errorSaysWhereAndWhat() {
    let error = FormatError(
      .malformed, "the header ends early", offset: 8, context: "conv_in.weight")
    #expect(
      error.inFile("unet.safetensors").inFile("other").description
        == "unet.safetensors: at byte 8: in conv_in.weight: the header ends early")
  }
}

import ModelFormats
import TestSupport
import Testing

private typealias PB = ProtobufBuilder

/// Models that expand far beyond their length; see docs/malicious-files.md.
@Suite struct ONNXBudgetTests {
  private static func refusal(_ bytes: [UInt8]) -> FormatError? {
    do throws(FormatError) {
      _ = try TensorFile.read(MappedFile(contents: bytes, path: "model.onnx"))
      return nil
    } catch {
      return error
    }
  }

  private static func repeated(_ count: Int, _ part: (Int) -> [UInt8]) -> [UInt8] {
    var bytes: [UInt8] = []
    for index in 0..<count { bytes += part(index) }
    return bytes
  }

  enum Budget: CaseIterable {
    case values, operators, initializers

    var message: String {
      switch self {
      case .values: "the graph has more than 65536 inputs and outputs"
      case .operators: "the graph has more than 65536 kinds of operators"
      case .initializers: "there are more than 65536 initializers"
      }
    }

    func part(_ index: Int) -> [UInt8] {
      switch self {
      case .values: PB.bytes(index.isMultiple(of: 2) ? 11 : 12, PB.text(1, "\(index)"))
      case .operators: PB.bytes(1, PB.text(4, "Op\(index)"))
      case .initializers: PB.tensor("\(index)", dims: [0], PB.bytes(9))
      }
    }
  }

  /// At the limit, and one beyond.
  @Test(arguments: Budget.allCases)
  func countsAreBounded(_ budget: Budget) throws {
    let whole = ONNXBudgetTests.repeated(65536, budget.part)
    #expect(ONNXBudgetTests.refusal(PB.model(whole)) == nil)
    let error = try #require(ONNXBudgetTests.refusal(PB.model(whole + budget.part(65536))))
    #expect(error.code == .unsupported)
    #expect(error.message == budget.message)
    #expect(error.offset != nil)
  }

  /// Values that are stored one by one instead of packed.
  @Test func loneValuesAreBounded() throws {
    func model(_ count: Int) -> [UInt8] {
      PB.model(PB.tensor(dims: [count], ONNXBudgetTests.repeated(count) { _ in PB.integer(5, 1) }))
    }
    #expect(ONNXBudgetTests.refusal(model(65536)) == nil)
    let error = try #require(ONNXBudgetTests.refusal(model(65537)))
    #expect(error.code == .unsupported)
    #expect(error.message == "its values stand one by one, and are more than 65536")
    #expect(error.context == "w")
  }

  @Test func pairsOfExternalDataAreBounded() throws {
    let pairs = ONNXBudgetTests.repeated(17) { PB.pair(13, "k\($0)", "v") }
    let error = try #require(
      ONNXBudgetTests.refusal(PB.model(PB.tensor("w", pairs + PB.integer(14, 1)))))
    #expect(error.message == "a tensor describes external data at length")
    #expect(error.context == "w")
  }

  /// A node with a 1 MB name, and a graph for each of its attributes.
  @Test func namesInsideNodesAreBounded() throws {
    let name = String(repeating: "n", count: 1 << 20)
    func model(_ count: Int) -> [UInt8] {
      let attributes = ONNXBudgetTests.repeated(count) {
        PB.bytes(5, PB.text(1, "a\($0)"), PB.bytes(6, PB.text(2, "inner")))
      }
      return PB.model(PB.bytes(1, PB.text(3, name), PB.text(4, "If"), attributes))
    }
    // 8 MiB and the file's own megabyte.
    #expect(ONNXBudgetTests.refusal(model(8)) == nil)
    let error = try #require(ONNXBudgetTests.refusal(model(10)))
    #expect(error.code == .malformed)
    #expect(
      error.message
        == "the names of initializers inside nodes expand to far more than the file")
    #expect(error.offset != nil)
  }

  /// Constants that declare 2^59 bytes each: their sum overflows 64 bits, and is not counted.
  @Test func sizesOfConstantsMayLeaveSixtyFourBits() {
    let tensor = [PB.integer(1, 1 << 57), PB.integer(2, 1)].flatMap { $0 }
    let constant = PB.bytes(
      1, PB.text(4, "Constant"), PB.bytes(5, PB.text(1, "value"), PB.bytes(5, tensor)))
    let model = PB.model(ONNXBudgetTests.repeated(16) { _ in constant })
    let file = try? TensorFile.read(MappedFile(contents: model, path: "model.onnx"))
    #expect(file?.metadata.last { $0.key == "constants" }?.value == "16 of \(Int.max) bytes")
  }
}

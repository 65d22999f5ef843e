import Foundation
import FoundationXML
import OrderedJSON
import TestSupport
import Testing

/// `sdgen similarity`; its numbers are compared with transformers' in DiffusionTests/CLIPModelTests.
@Suite struct SimilarityTests {
  private static let model = Fixtures.path("clip/model")
  private static let pictures = ["wide.png", "tall.png"].map { Fixtures.path("clip/\($0)") }
  private static let texts = ["--text", "a red circle", "--text", "<blue> & more"]

  @Test func json() throws {
    let result = try Tool.run(
      "sdgen", ["similarity", "--model", Self.model, "--json"] + Self.pictures + Self.texts)
    #expect(result.status == 0 && result.errors.isEmpty, "\(result.errors)")
    let report = try JSON(parsing: result.output)
    #expect(report["version"] == 1 && report["images"]?.array?.count == 2)
    #expect(report["texts"] == ["a red circle", "<blue> & more"])
    let scale = try #require(report["scale"]?.double)
    for row in 0..<2 {
      let shares = try #require(report["probabilities"]?.array?[row].array).compactMap(\.double)
      #expect(abs(shares.reduce(0, +) - 1) < 1e-6)
      let best = try #require(report["best"]?.array?[row])
      #expect(shares[best["index"]?.int ?? 9] == shares.max())
      let logits = try #require(report["similarity"]?.array?[row].array).compactMap(\.double)
      let cosines = try #require(report["cosine"]?.array?[row].array).compactMap(\.double)
      #expect(zip(logits, cosines).allSatisfy { abs($0 - scale * $1) < 1e-4 })
    }
  }

  @Test func aTableAndAHeatMap() throws {
    try withTemporaryFolder { folder in
      let path = folder + "/map.svg"
      let arguments =
        ["similarity", "--model", Self.model, "-o", path] + Self.pictures + Self.texts
      let result = try Tool.run("sdgen", arguments)
      #expect(result.status == 0, "\(result.errors)")
      #expect(result.output.contains("best text of each image"))
      let text = try String(contentsOfFile: path, encoding: .utf8)
      // The background and a cell for each pair.
      #expect(text.components(separatedBy: "<rect").count == 1 + 1 + 4)
      #expect(text.contains("&lt;blue&gt; &amp; more"))
      #expect(XMLParser(data: Data(text.utf8)).parse())
      #expect(try Tool.run("sdgen", arguments).status == 73)
      #expect(try Tool.run("sdgen", arguments + ["--force"]).status == 0)
    }
  }

  @Test(arguments: [
    ([] as [String], 64), (["--text", "a", "-o", "map.png"], 64), (["--text", "a", "--force"], 64),
    (["--text", "a", "--model", Fixtures.path("shapes-v2")], 65),
    (["--text", "a", "--model", "/nowhere"], 66),
  ])
  func refused(_ arguments: [String], status: Int) throws {
    let model = arguments.contains("--model") ? [] : ["--model", Self.model]
    let result = try Tool.run("sdgen", ["similarity", Self.pictures[0]] + model + arguments)
    #expect(Int(result.status) == status, "\(result.errors)")
    #expect(result.errors.contains("error: ") && result.output.isEmpty)
  }

  /// The text encoder's attention is masked, the image encoder's is not; weights are F32.
  @Test func layers() throws {
    let result = try Tool.run("sdinspect", ["layers", Self.model, "--json"])
    let report = try JSON(parsing: result.output)
    let rows = try #require(report["layers"]?.array)
    for (graph, isCausal) in [("text_encoder", true), ("image_encoder", false)] {
      let attentions = rows.filter { $0["graph"]?.string == graph && $0["kind"] == "attention" }
      #expect(attentions.map { $0["causal"]?.bool } == [isCausal, isCausal])
    }
    #expect(rows.allSatisfy { ($0["weight_bytes"]?.int ?? -1) == 4 * ($0["parameters"]?.int ?? 0) })
    let short = try JSON(
      parsing: Tool.run("sdinspect", ["layers", Self.model, "--json", "--depth", "1"]).output)
    func sum(_ report: JSON) -> Int {
      (report["layers"]?.array ?? []).reduce(0) { $0 + ($1["weight_bytes"]?.int ?? 0) }
    }
    #expect(sum(short) == sum(report) && sum(report) > 0)
    let tree = try Tool.run("sdinspect", ["layers", Self.model])
    #expect(tree.output.contains("attention, causal"))
  }
}

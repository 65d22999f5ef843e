import Diffusion
import Foundation
import ModelFormats
import OrderedJSON
import Pictures
import TestSupport
import Testing

/// Jobs' other outputs: errors for bad lines, hashes of files, leftovers of killed runs.
@Suite(.serialized) struct JobFileTests {
  /// Each error says what is wrong, where, and what to do.
  @Test func badLines() throws {
    let cases: [(line: String, says: String, hint: String, offset: Int)] = [
      (#"{"prompt": "a" "steps": 3}"#, #"before "steps": 3}"#, "check commas", 15),
      (#"{"prompt": "a"#, "ends inside the job", "close its quotes", 13),
      (#"{"prompt": "a\q"}"#, "invalid escape", #"write \\"#, 14),
      (#"{"prompt": "a", "steps": 03}"#, "number", "7, 0.5 or 1e-3", 26),
      (#"{"prompt": "a", "prompt": "b"}"#, "duplicate key prompt", "remove one", 16),
      (#"{"prompt": "a"} {}"#, "unexpected text after the job", "one job per line", 16),
      (#"["a"]"#, "not a JSON object", #"{"prompt": "a red circle""#, 0),
      (#"{"prompt": "a", "steps": 0}"#, "1 to 1000", "correct the job", 0),
      (#"{"prompt": "a", "seed": 1e400}"#, "seed is too large", "ranges", 0),
      (#"{"steps": 3}"#, "the prompt is missing", "correct the job", 0),
      (#"{"prompt": null}"#, "(got null)", "omit prompt", 0),
      (#"{"prompt": "a", "foo": 1}"#, "no argument called foo", "without dashes", 0),
      ("{\"prompt\": \"\u{FFFF}a", "ends inside", "close its quotes", 16),
    ]
    try withTemporaryFolder { folder in
      try BatchTests.jobs(cases.map(\.line), in: folder)
      var bytes = try PictureTests.bytes(folder + "/jobs.jsonl")
      // A byte that is not UTF-8.
      bytes += Array("{\"prompt\": \"a".utf8) + [0xFF] + Array("\"}\n".utf8)
      try Data(bytes).write(to: URL(filePath: folder + "/jobs.jsonl"))
      let rows = try BatchTests.rows(Tool.run("sdgen", ["batch", "jobs.jsonl"], in: folder))
      #expect(rows.count == cases.count + 1)
      var start = 0
      for (row, expected) in zip(rows, cases) {
        let error = try #require(row["error"])
        #expect(error["file"]?.string == "jobs.jsonl")
        #expect(error["offset"]?.int == start + expected.offset, "\(expected.line)")
        #expect(error["message"]?.string?.contains(expected.says) == true, "\(error)")
        #expect(error["hint"]?.string?.contains(expected.hint) == true, "\(error)")
        start += expected.line.utf8.count + 1
      }
      // For a value: the field, the value, and the allowed values.
      #expect(rows[7]["error"]?["field"]?.string == "steps")
      #expect(rows[7]["error"]?["got"]?.string == "0")
      #expect(rows[7]["error"]?["allowed"]?.string == "a whole number from 1 to 1000")
      let last = try #require(rows.last?["error"])
      #expect(last["message"]?.string == "the line is not UTF-8")
      #expect(last["offset"]?.int == start + 13)
    }
  }

  /// A byte-order mark is not part of the first job; offsets count it.
  @Test func byteOrderMark() throws {
    try withTemporaryFolder { folder in
      let mark = "\u{FEFF}"
      try BatchTests.jobs(
        [mark + #"{"prompt": "a", "output": "a.png"}"#, mark + #"{"prompt": "a"}"#], in: folder)
      let rows = try BatchTests.rows(
        Tool.run("sdgen", ["batch", "jobs.jsonl"] + BatchTests.flags, in: folder))
      // Within a file it is not JSON white space.
      #expect(rows.map { $0["status"]?.string } == ["done", "failed"])
      try BatchTests.jobs([mark + #"{"prompt": "a" 3}"#], in: folder)
      let bad = try BatchTests.rows(Tool.run("sdgen", ["batch", "jobs.jsonl"], in: folder))
      #expect(bad.first?["error"]?["offset"]?.int == 18)
    }
  }

  /// A LoRA for the bundled model: rank 1, on one matrix of 32 by 32.
  private static func writeLoRA(_ value: Float, to path: String) throws {
    let module =
      "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q"
    func tensor(_ name: String, _ shape: [Int]) -> Tensor {
      let bytes = (0..<32).flatMap { _ in
        (0..<4).map { UInt8(truncatingIfNeeded: value.bitPattern >> (8 * UInt32($0))) }
      }
      return Tensor(
        name: "\(module).\(name).weight", dtype: .float32, shape: Shape(shape),
        storage: .memory(bytes))
    }
    try Safetensors.write(
      [tensor("lora_down", [1, 32]), tensor("lora_up", [32, 1])], to: path, overwrite: true)
  }

  /// An image records the LoRAs and embeddings that it was made with, by content.
  @Test func networksAreKnownByTheirHashes() throws {
    try withTemporaryFolder { folder in
      try Self.writeLoRA(0.25, to: folder + "/style.safetensors")
      try FileManager.default.copyItem(
        atPath: Fixtures.path("diffusion/embedding.pt"), toPath: folder + "/word.pt")
      let drawn = try Tool.run(
        "sdgen",
        [
          "a <star>", "--lora", "style.safetensors:0.5", "--embedding", "word.pt:<star>", "--seed",
          "1", "-o", "a.png",
        ] + BatchTests.flags, in: folder)
      #expect(drawn.status == 0, "\(drawn.errors)")
      let hashes = try JSON(
        parsing: Tool.run(
          "sdinspect", ["hash", "style.safetensors", "--json"], in: folder
        ).output)["files"]?.array?.first
      let word = try JSON(
        parsing: Tool.run("sdinspect", ["hash", "word.pt", "--json"], in: folder).output)["files"]?
        .array?.first?["sha256"]?.string
      let metadata = try PictureFile.read(folder + "/a.png").metadata
      let files = try JSON(parsing: #require(metadata.job))["files"]
      #expect(files?["lora"]?.array == [try #require(hashes?["sha256"])])
      #expect(files?["embedding"]?.array == [.string(try #require(word))])
      let text = Infotext(parsing: try #require(metadata.parameters))
      #expect(text["Lora hashes"] == "style: \(hashes?["autov3"]?.string ?? "")")
      #expect(text["TI hashes"] == "<star>: \(word?.prefix(12) ?? "")")

      let same = try Tool.run("sdgen", ["again", "a.png"], in: folder)
      #expect(same.status == 0 && !same.errors.contains("warning"), "\(same.errors)")
      try Self.writeLoRA(0.5, to: folder + "/style.safetensors")
      let other = try Tool.run("sdgen", ["again", "a.png", "--force"], in: folder)
      #expect(other.status == 1)
      #expect(other.errors.contains("style.safetensors differs from the file"), "\(other.errors)")
      #expect(!other.errors.contains("word.pt differs"))
      try Self.writeLoRA(0.25, to: folder + "/style.safetensors")
      try FileManager.default.removeItem(atPath: folder + "/word.pt")
      try FileManager.default.copyItem(
        atPath: Fixtures.path("diffusion/embedding.safetensors"), toPath: folder + "/word.pt")
      let third = try Tool.run("sdgen", ["again", "a.png", "--force"], in: folder)
      #expect(third.errors.contains("word.pt differs from the file"), "\(third.errors)")
      #expect(!third.errors.contains("style.safetensors differs"))
    }
  }

  /// The model's file by its hash, if that was requested.
  @Test func theModelIsKnownByItsHash() throws {
    try withTemporaryFolder { folder in
      let converted = try Tool.run(
        "sdinspect",
        ["convert", Fixtures.path("shapes-v2"), folder + "/m.safetensors", "--to", "ldm"])
      #expect(converted.status == 0, "\(converted.errors)")
      let drawn = try Tool.run(
        "sdgen",
        ["a", "--model", "m.safetensors", "--model-hash", "-o", "a.png"] + BatchTests.flags,
        in: folder)
      #expect(drawn.status == 0, "\(drawn.errors)")
      let hash = try JSON(
        parsing: Tool.run("sdinspect", ["hash", "m.safetensors", "--json"], in: folder).output)[
          "files"]?.array?.first?["autov2"]?.string
      let text = try PictureFile.read(folder + "/a.png").metadata.parameters
      #expect(text.map(Infotext.init(parsing:))?["Model hash"] == hash && hash != nil)
    }
  }

  /// If an image exists when a run is killed, so do its latents and its trace.
  @Test func latentsComeBeforeThePicture() throws {
    try withTemporaryFolder { folder in
      let count = 20
      try BatchTests.jobs(
        (0..<count).map {
          #"{"prompt": "a", "seed": 1, "output": "\#($0).png", "save-latents": "\#($0).safetensors","#
            + #" "trace": "\#($0).json"}"#
        }, in: folder)
      let flags = ["--steps", "4", "--scheduler", "ddim", "--width", "64", "--height", "64"]
      let script = """
        "$0" batch jobs.jsonl \(flags.joined(separator: " ")) & pid=$!
        while [ ! -e 3.png ] && kill -0 $pid 2>/dev/null; do sleep 0.01; done
        kill -KILL $pid; wait $pid
        """
      let killed = try Tool.launch("/bin/bash", ["-c", script, "\(Tool.folder)/sdgen"], in: folder)
      #expect(killed.status == 137)
      func there(_ name: String) -> Bool {
        FileManager.default.fileExists(atPath: "\(folder)/\(name)")
      }
      for index in 0..<count where there("\(index).png") {
        #expect(there("\(index).safetensors") && there("\(index).json"), "\(index)")
      }
      let result = try Tool.run("sdgen", ["batch", "jobs.jsonl"] + flags, in: folder)
      #expect(result.status == 0, "\(result.output)")
      for index in 0..<count {
        #expect(there("\(index).png") && there("\(index).safetensors") && there("\(index).json"))
      }
    }
  }

  /// After a stopped job is resumed, files for all images together cover all of them.
  @Test func latentsOfAllPictures() throws {
    try withTemporaryFolder { folder in
      try BatchTests.jobs(
        [
          #"{"prompt": "a", "seed": 1, "count": 3, "output": "a.png", "save-latents": "l.safetensors","#
            + #" "sidecar": true, "contact-sheet": "sheet.png"}"#
        ], in: folder)
      func run() throws -> JSON {
        try #require(
          BatchTests.rows(
            Tool.run("sdgen", ["batch", "jobs.jsonl"] + BatchTests.flags, in: folder)
          ).first)
      }
      let whole = try run()
      #expect(whole["files"]?.array?.map(\.string) == ["l.safetensors"])
      let latents = try PictureTests.bytes(folder + "/l.safetensors")
      let first = try PictureTests.bytes(folder + "/a-1.png")
      #expect(try TensorFile.open(folder + "/l.safetensors")["noise"]?.shape.dimensions.first == 3)
      #expect(try run()["status"]?.string == "skipped")
      // As after a kill between the second and the last.
      for name in ["a-3.png", "a-3.json", "sheet-3.png", "l.safetensors"] {
        try FileManager.default.removeItem(atPath: "\(folder)/\(name)")
      }
      let again = try run()
      #expect(again["status"]?.string == "done", "\(again)")
      #expect(again["pictures"]?.array?.count == 3)
      #expect(try PictureTests.bytes(folder + "/l.safetensors") == latents)
      #expect(try PictureTests.bytes(folder + "/a-1.png") == first)
      #expect(try run()["status"]?.string == "skipped")
    }
  }
}

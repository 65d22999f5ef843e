import Diffusion
import Foundation
import OrderedJSON
import Pictures
import Testing

/// A job as JSON, and the table of its fields.
@Suite struct DrawingJobTests {
  private static func job(_ json: String) throws -> DrawingJob {
    try DrawingJob(#require(JSON(parsing: json).object))
  }

  @Test func fieldsAreTyped() throws {
    let job = try Self.job(
      #"""
      {"prompt": "a", "steps": 30, "guidance": 7, "lora": ["a.safetensors:0.5", "b.safetensors"],
       "control-scale": 0.5, "format": "jpg", "vae-tile": 512, "plain-prompt": true, "negative": 5}
      """#)
    #expect(job.steps == 30 && job.guidance == 7 && job.controlScale == [0.5])
    #expect(job.lora == ["a.safetensors:0.5", "b.safetensors"])
    #expect(job.format == .jpeg && job.vaeTile == "512" && job.plainPrompt == true)
    #expect(job.negative == "5" && job.seed == nil)
    #expect(job.tiling == .tiles(512))
    // Numbers as they were written; 7 and 7.0 are equal.
    let decimal = try Self.job(#"{"prompt": "a", "guidance": 7.0}"#)
    #expect(JSON.object(decimal.object).text(.compact) == #"{"prompt":"a","guidance":7.0}"#)
    #expect(try decimal == Self.job(#"{"prompt": "a", "guidance": 7}"#))
    // In table order, numbers as numbers, prompts as texts.
    #expect(
      job.object
        == [
          "prompt": "a", "negative": "5", "plain-prompt": true, "steps": 30, "guidance": 7,
          "lora": ["a.safetensors:0.5", "b.safetensors"], "control-scale": [0.5], "vae-tile": 512,
          "format": "jpeg",
        ])
  }

  /// Every field contains a value, gives it back, and is kept by Foundation's coders.
  @Test(arguments: JobField.all.map(\.name))
  func everyFieldIsCoded(name: String) throws {
    let field = try #require(JobField.named(name))
    let value: JSON =
      switch field.kind {
      case .flag: true
      case .integer(let range, _): .integer(range.lowerBound)
      case .number(let range, _): .number(range.upperBound - 0.25)
      case .words, .name: "folder/a b"
      case .choice(let names): .string(try #require(names.last))
      case .form:
        .string(
          try #require(
            [
              "sigmas": "14.5,3,0.25", "outpaint": "8,0,16,0", "guidance-interval": "0.25:0.5",
              "vae-tile": "off", "seed-resize": "512x768",
              "contact-sheet-rows": "noise,latents",
              "engine": "onnxruntime:openvino",
            ][name]))
      }
    let held: JSON = field.isRepeating ? [value] : value
    let job = try DrawingJob([name: held])
    #expect(job.fields.map(\.name) == [name])
    #expect(job[field] == held)
    let decoded = try JSONDecoder().decode(DrawingJob.self, from: JSONEncoder().encode(job))
    #expect(decoded == job)
    // A job merged over an empty one, and the reverse.
    #expect(job.over(DrawingJob()) == job && DrawingJob().over(job) == job)
    #expect(DrawingJob().fields.isEmpty)
  }

  /// The error names the field, what it got, and what it allows.
  @Test(
    arguments: [
      (#"{"steps": 0}"#, "steps", "0", "a whole number from 1 to 1000", .range),
      (#"{"steps": 2.5}"#, "steps", "2.5", "a whole number from 1 to 1000", .range),
      (#"{"width": 12}"#, "width", "12", "a multiple of 8 from 8 to 8192", .range),
      (#"{"strength": 0}"#, "strength", "0", "a number above 0, up to 1", .range),
      (#"{"token-merging": 0.8}"#, "token-merging", "0.8", "a number from 0 to 0.75", .range),
      (#"{"seed": -1}"#, "seed", "-1", "a whole number from 0 to 2^63-1", .range),
      (#"{"rng": "dice"}"#, "rng", "dice", "torch, cuda or numpy", .range),
      (
        #"{"guidance-interval": "0.8:0.2"}"#, "guidance-interval", "0.8:0.2",
        "two fractions from 0 to 1, the smaller one first, such as 0.1:0.8", .range
      ),
      (#"{"force": 1}"#, "force", "1", "true or false", .kind),
      (#"{"steps": null}"#, "steps", "null", "a whole number from 1 to 1000", .kind),
      (#"{"prompt": ["a", "b"]}"#, "prompt", #"["a","b"]"#, "a text or a number", .kind),
      (#"{"seed": 1e400}"#, "seed", "null", "a whole number from 0 to 2^63-1", .infinite),
      (#"{"stepz": 3}"#, "stepz", "3", nil, .unknownField),
    ] as [(String, String, String, String?, JobError.Reason)])
  func badValues(
    json: String, field: String, got: String, allowed: String?, reason: JobError.Reason
  ) throws {
    let error = try #require(throws: JobError.self) { try Self.job(json) }
    #expect(error.field == field && error.got == got && error.allowed == allowed)
    #expect(error.reason == reason)
    #expect(error.message.text { $0 }.hasPrefix(reason == .unknownField ? "there is" : field))
  }

  /// Fields that require, exclude or count each other.
  @Test(arguments: [
    ("{}", "prompt"), (#"{"prompt": "a", "prompts-from": "b"}"#, "prompt"),
    (#"{"prompt": "a", "strength": 0.5}"#, "strength"),
    (#"{"prompt": "a", "paste-back": true, "init": "a.png"}"#, "paste-back"),
    (#"{"prompt": "a", "hires-steps": 5}"#, "hires-steps"),
    (#"{"prompt": "a", "steps": 3, "sigmas": "5,2"}"#, "steps"),
    (#"{"prompt": "a", "sigmas": "karras", "spacing": "leading"}"#, "spacing"),
    (#"{"prompt": "a", "rng": "numpy", "seed": 4294967296}"#, "seed"),
    (#"{"prompt": "a", "control": "a"}"#, "control-image"),
    (#"{"prompt": "a", "control-end": 0.5}"#, "control-end"),
    (
      #"{"prompt": "a", "control": "a", "control-image": "b", "control-start": 1}"#, "control-start"
    ),
    (#"{"prompt": "a", "preview": "tiny"}"#, "tiny-vae"),
    (#"{"prompt": "a", "quality": 90}"#, "quality"),
    (#"{"prompt": "a", "output": "a.gif"}"#, "output"),
    (#"{"prompt": "a", "animation": "a.jpg"}"#, "animation"),
    (#"{"prompt": "a", "plain-prompt": true, "emphasis": "ignore"}"#, "plain-prompt"),
  ])
  func combinations(json: String, field: String) throws {
    let job = try Self.job(json)
    let error = try #require(throws: JobError.self) { try job.check() }
    #expect(error.field == field && error.reason == .combination)
    // Messages name fields as the caller spells them.
    #expect(!error.message.text { $0 }.contains("--"))
  }

  @Test func whatGoesTogetherPasses() throws {
    for json in [
      #"{"prompt": "a"}"#, #"{"prompts-from": "a.txt", "steps": 2, "sigmas": "5,2,0"}"#,
      #"{"prompt": "a", "init": "a.png", "mask": "b.png", "paste-back": true, "strength": 1}"#,
      #"{"prompt": "a", "output": "a.bin", "format": "webp", "quality": 90}"#,
      #"{"prompt": "a", "control": ["a", "b"], "control-image": ["c", "d"], "control-scale": 2}"#,
    ] {
      #expect(throws: Never.self) { try Self.job(json).check() }
    }
  }

  /// The table is consistent: names are unique, texts name existing fields and end without a
  /// period, and fields without a default say what applies instead.
  @Test func theTable() {
    let names = JobField.all.map(\.name)
    #expect(Set(names).count == names.count)
    #expect(names.count == Mirror(reflecting: DrawingJob()).children.count)
    let groups = JobField.all.map { JobField.Group.allCases.firstIndex(of: $0.group) ?? -1 }
    #expect(groups == groups.sorted())
    for field in JobField.all {
      for text in [field.doc, field.standard ?? ""] {
        #expect(text.fields.allSatisfy(names.contains), "\(field.name)")
        #expect(!text.text { $0 }.contains("--"), "\(field.name)")
      }
      let doc = field.doc.text(range: field.range) { $0 }
      #expect(!doc.isEmpty && !doc.hasSuffix("."), "\(field.name)")
      #expect(field.isFlag || field.standard != nil, "\(field.name)")
      #expect(field.isFlag || !field.placeholder.isEmpty, "\(field.name)")
      if let value = field.defaultValue {
        #expect(throws: Never.self, "\(field.name)") { try field.value(of: value) }
      }
    }
  }

  /// A field that another replaces, by what a scheduler's name says.
  @Test func jobsOverOthers() throws {
    let defaults = try Self.job(#"{"scheduler": "DPM++ 2M Karras", "steps": 3, "quiet": true}"#)
    let own = try Self.job(#"{"sigmas": "exponential", "quiet": false}"#)
    let both = own.over(defaults)
    #expect(both.scheduler == "dpmpp-2m" && both.sigmas == "exponential" && both.steps == 3)
    #expect(both.quiet == false && !both.isSilent)
    let named = try Self.job(#"{"scheduler": "Euler Karras"}"#)
    let over = named.over(try Self.job(#"{"spacing": "trailing", "sigmas": "ays"}"#))
    #expect(over.spacing == nil && over.sigmas == nil && over.noiseLevels == .karras)
  }

  /// Fields that an untrusted image must not set, and fields that a loaded model depends on.
  @Test func traits() throws {
    let job = try Self.job(
      #"""
      {"prompt": "a", "model": "/m/a", "lora": "/l/b.safetensors:0.5", "output": "/o/c.png",
       "count": 4, "quality": 80, "trace": "t.json", "dtype": "f32"}
      """#)
    #expect(
      job.filtered { $0.traits.contains(.recorded) }.withoutFolders.object
        == ["prompt": "a", "dtype": "f32", "lora": ["b.safetensors:0.5"], "quality": 80])
    #expect(
      job.filtered { $0.traits.contains(.loading) }.fields.map(\.name) == [
        "model", "dtype", "lora",
      ])
    #expect(
      JobField.all.filter { $0.traits.contains(.output) }.map(\.name)
        == ["output", "save-latents", "save-embeddings", "contact-sheet", "animation", "trace"])
  }
}

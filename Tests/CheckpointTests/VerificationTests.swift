import Checkpoint
import Foundation
import ModelFormats
import ModelGraph
import OrderedJSON
import TestSupport
import Testing

/// The check of whole checkpoints, on copies of the bundled model with something wrong.
@Suite struct VerificationTests {
  static func verify(_ path: String) throws -> Verification {
    try Verification(of: ModelCheckpoint.open(path))
  }

  @Test func findsTheEmbeddedModelSound() throws {
    let result = try VerificationTests.verify(Fixtures.path("shapes-v2"))
    #expect(result.isSound)
    #expect(result.problems == [] && result.unchecked == [])
    #expect(
      result.checked == [
        "75 zip records by their CRC-32", "690 tensors against their networks",
        "49408 tokens and 48894 merges", "scheduler",
      ])
    #expect(result.notes.count == 1)
    #expect(result.notes[0].hasPrefix("files without checksums: safetensors"))
  }

  /// One flipped bit in any record of a zip file is found, and named.
  @Test(arguments: [0, 20, 44, 68])
  func findsAFlippedBitInAZipRecord(number: Int) throws {
    let scratch = try Scratch()
    let model = try scratch.linkedRepository()
    let name = "model/text_encoder/pytorch_model.bin"
    let tensor = try TensorFile.open(scratch.path(name)).tensors[number]
    var bytes = try scratch.contents(name)
    let offset = try #require(tensor.offset) + tensor.byteCount / 2
    bytes[offset] ^= 0x10
    try scratch.write(bytes, as: name)
    let result = try VerificationTests.verify(model)
    #expect(!result.isSound)
    #expect(result.problems.count == 1)
    let problem = try #require(result.problems.first)
    #expect(problem.contains("CRC-32"))
    #expect(problem.contains("at byte \(try #require(tensor.offset))"))
    #expect(problem.contains("/data/"))
  }

  struct Fault: Sendable {
    let file: String
    let change: @Sendable (String) -> String?
    let says: String
  }

  static let faults = [
    Fault(
      file: "tokenizer/vocab.json",
      change: { $0.replacingOccurrences(of: "\"!\": 0", with: "\"!\": 1") },
      says: "tokenizer/vocab.json: the id 1 is duplicated"),
    Fault(
      file: "tokenizer/vocab.json",
      change: { $0.replacingOccurrences(of: "\"!\": 0", with: "\"!\": 49408") },
      says: "the id 49408 is beyond the text encoder's 49408 tokens"),
    Fault(
      file: "tokenizer/vocab.json",
      change: { $0.replacingOccurrences(of: "\"!\": 0", with: "\"!\": \"0\"") },
      says: "the id of \"!\" is not a token id"),
    Fault(file: "tokenizer/vocab.json", change: { _ in "{" }, says: "this is not JSON"),
    Fault(
      file: "tokenizer/vocab.json", change: { _ in nil }, says: "tokenizer/vocab.json is missing"),
    Fault(
      file: "tokenizer/merges.txt", change: { _ in nil }, says: "tokenizer/merges.txt is missing"),
    Fault(
      file: "tokenizer/merges.txt",
      change: { $0.replacingOccurrences(of: "\ni n\n", with: "\nin\n") },
      says: "tokenizer/merges.txt: line 2 is not two tokens"),
    Fault(
      file: "tokenizer/merges.txt",
      change: { $0.replacingOccurrences(of: "\ni n\n", with: "\n\u{4E2D} n\n") },
      says: "line 2 names a token that the vocabulary does not contain"),
    Fault(
      file: "tokenizer/special_tokens_map.json",
      change: { $0.replacingOccurrences(of: "<|startoftext|>", with: "<s>") },
      says: "the bos_token \"<s>\" is not in the vocabulary"),
    Fault(
      file: "tokenizer/tokenizer_config.json",
      change: {
        $0.replacingOccurrences(of: "\"model_max_length\": 77", with: "\"model_max_length\": 99")
      },
      says: "model_max_length is 99; the text encoder has 77 positions"),
    Fault(
      file: "scheduler/scheduler_config.json", change: { _ in nil },
      says: "scheduler/scheduler_config.json is missing"),
    Fault(
      file: "scheduler/scheduler_config.json",
      change: { $0.replacingOccurrences(of: "\"beta_end\": 0.012", with: "\"beta_end\": 12") },
      says: "beta_end is 12.0, not in 0...1"),
    Fault(
      file: "scheduler/scheduler_config.json",
      change: { $0.replacingOccurrences(of: "0.00085", with: "0.5") },
      says: "beta_start is above beta_end"),
    Fault(
      file: "scheduler/scheduler_config.json",
      change: { $0.replacingOccurrences(of: "scaled_linear", with: "wavy") },
      says: "beta_schedule is \"wavy\""),
    Fault(
      file: "scheduler/scheduler_config.json",
      change: {
        $0.replacingOccurrences(
          of: "\"num_train_timesteps\": 1000", with: "\"num_train_timesteps\": 0")
      },
      says: "num_train_timesteps is 0"),
    Fault(
      file: "scheduler/scheduler_config.json",
      change: { $0.replacingOccurrences(of: "_class_name", with: "_class") },
      says: "_class_name does not say which it is"),
  ]

  @Test(arguments: faults.indices)
  func findsFaultsOfSmallFiles(index: Int) throws {
    let fault = VerificationTests.faults[index]
    let scratch = try Scratch()
    let model = try scratch.linkedRepository()
    let name = "model/\(fault.file)"
    let before = String(decoding: try scratch.contents(name), as: UTF8.self)
    if let after = fault.change(before) {
      #expect(after != before)
      try scratch.write(after, as: name)
    } else {
      try scratch.remove(name)
    }
    let result = try VerificationTests.verify(model)
    #expect(!result.isSound)
    #expect(result.problems.contains { $0.contains(fault.says) }, "\(result.problems)")
  }

  /// Many faults of one file are shown as the first three and a count.
  @Test func sumsUpManyFaults() throws {
    let scratch = try Scratch()
    let model = try scratch.linkedRepository()
    try scratch.write("one\ntwo\nthree\nfour\nfive\n", as: "model/tokenizer/merges.txt")
    let result = try VerificationTests.verify(model)
    #expect(result.problems.count == 4)
    #expect(result.problems.last == "tokenizer/merges.txt: 2 faults more")
  }

  @Test func tensorsOfNoNetworkAreNotes() throws {
    let scratch = try Scratch()
    let model = try scratch.repository { $0 + [.floats("decoder.extra", [1])] }
    let result = try VerificationTests.verify(model)
    #expect(result.isSound && result.verdict == nil)
    #expect(result.notes.contains { $0.contains("decoder.extra") })
    #expect(result.unchecked == ["vae: 1 unrecognized tensor: decoder.extra"])
    let short = try scratch.repository(vae: { Array($0.dropFirst()) }, replacing: true)
    #expect(try VerificationTests.verify(short).problems.count == 1)
  }

  @Test func unknownNetworksAreUnchecked() throws {
    let scratch = try Scratch()
    try Safetensors.write([.floats("a.b", [1])], to: scratch.path("foreign"))
    let result = try VerificationTests.verify(scratch.path("foreign"))
    #expect(result.isSound)
    #expect(result.verdict == nil)
    #expect(result.unchecked.count == 1)
    #expect(result.checked == [])
  }

  /// What a single file has no place for is a note; the same gap in a repository is a problem.
  @Test(arguments: [
    (Conversion.Target.ldm, "a.safetensors", "the file contains no tokenizer/vocab.json"),
    (.sdflat, "a.sdflat", "the file contains no tokenizer/merges.txt"),
  ])
  func aFileNeedsNoVocabulary(
    target: Conversion.Target, name: String, note: String
  ) throws {
    let scratch = try Scratch()
    let model = try scratch.linkedRepository()
    try scratch.remove("model/tokenizer/merges.txt")
    #expect(
      try VerificationTests.verify(model).problems == ["tokenizer/merges.txt is missing"])
    try ConversionTests.convert(model, to: target, at: scratch.path(name))
    let result = try VerificationTests.verify(scratch.path(name))
    #expect(result.problems == [] && result.unchecked == [])
    #expect(result.notes.contains(note), "\(result.notes)")
  }

  /// Networks with inferred configurations share one note.
  @Test func oneNoteOfWhatWasInferred() throws {
    let networks = SpelledNetwork.all.filter { $0.size == "v1.5" }
    let prefixes = [
      "cond_stage_model.transformer.", "first_stage_model.", "model.diffusion_model.",
    ]
    let tensors = try zip(networks, prefixes).flatMap {
      try $0.tensors(Naming(.singleFile, prefix: $1))
    }
    let file = TensorFile(
      path: "weights", format: .safetensors, tensors: tensors + [.floats("alone", [1])])
    let result = try Verification(of: ModelCheckpoint.of(file))
    #expect(
      result.notes.filter { $0.contains("config.json") } == [
        "text_encoder, unet, vae: read off the tensors' shapes, as there is no config.json"
      ])
    #expect(result.notes.contains("1 tensor is of no network"))
    #expect(result.verdict == nil)
    #expect(result.unchecked == ["other: 1 unrecognized tensor: alone"])
    // Known tensors leave nothing unchecked.
    let schedule = TensorFile(
      path: "weights", format: .safetensors, tensors: tensors + [.floats("betas", [1])])
    let known = try Verification(of: ModelCheckpoint.of(schedule))
    #expect(known.verdict == true && known.unchecked == [])
  }

  /// The error names the configuration's key, in every command.
  @Test(arguments: [
    ("resnet_time_scale_shift", JSON.string("scale_shift")),
    ("addition_embed_type", "text_time"), ("attention_type", "gated"),
    ("dual_cross_attention", true), ("class_embed_type", "projection"),
    ("norm_num_groups", 7), ("a_field_of_tomorrow", 3),
  ])
  func refusalsNameTheKey(key: String, value: JSON) throws {
    let scratch = try Scratch()
    let model = try scratch.linkedRepository()
    var configuration = try #require(
      try JSON(parsing: Fixtures.text("shapes-v2/unet/config.json")).object)
    configuration[key] = value
    try scratch.write(JSON.object(configuration).text(), as: "model/unet/config.json")
    let checkpoint = try ModelCheckpoint.open(model)
    let result = try Verification(of: checkpoint)
    // If the file lacks what the key requires, that is a fault too.
    let isLacking = ["addition_embed_type", "class_embed_type"].contains(key)
    #expect(result.verdict == (isLacking ? false : nil), "\(result.problems)")
    #expect(result.unchecked.count == 1)
    #expect(result.unchecked.first?.hasPrefix("unet: \(key)") == true, "\(result.unchecked)")
    #expect(checkpoint.warnings.contains { $0.hasPrefix("unet: \(key)") })
    let error = try #require(try failure { _ = try checkpoint.require(.unet) })
    #expect(error.context == key && error.sentence.hasPrefix(key))
    #expect(error.sentence.components(separatedBy: key).count == 2, "\(error.sentence)")
  }
}

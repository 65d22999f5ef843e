import Foundation
import ModelFormats
import TestSupport
import Testing

@Suite struct ShardIndexTests {
  static let first = "model-00001-of-00002.safetensors"
  static let second = "model-00002-of-00002.safetensors"
  static let one = safetensors(
    #"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#, data: Array(0..<8))
  static let two = safetensors(
    #"{"b":{"dtype":"U8","shape":[3],"data_offsets":[0,3]},"#
      + #""c":{"dtype":"U8","shape":[],"data_offsets":[3,4]}}"#, data: [7, 8, 9, 10])
  static let map = #"{"a": "\#(first)", "c": "\#(second)", "b": "\#(second)"}"#

  /// An index and its shards in a directory of their own.
  struct Repository {
    let directory: ScratchDirectory
    let index: String

    init(
      _ text: String, shards: [String: [UInt8]] = [first: one, second: two],
      name: String = "model.safetensors.index.json"
    ) throws {
      directory = try ScratchDirectory()
      index = try directory.write(Array(text.utf8), as: name)
      for (name, bytes) in shards { try directory.write(bytes, as: name) }
    }
  }

  @Test(arguments: ["", #","total_size":12"#, #","other":[1],"total_parameters":6"#])
  func shardsAreReadAsOne(_ more: String) throws {
    let repository = try Repository(
      #"{"metadata":{"format":"pt"\#(more)},"weight_map":\#(ShardIndexTests.map)}"#)
    let file = try TensorFile.open(repository.index)
    #expect(try TensorFile.sniff(repository.index) == .shardIndex)
    #expect(file.path == repository.index)
    #expect(file.format == .safetensors)
    #expect(file.files == [Self.first, Self.second].map(repository.directory.path))
    #expect(file.tensors.map(\.name) == ["a", "b", "c"])
    #expect(file.tensors.map { $0.contiguousBytes() } == [Array(0..<8), [7, 8, 9], [10]])
    #expect(file["c"]?.file?.path == repository.directory.path(Self.second))
    #expect(file["c"]?.offset == Self.two.count - 1)
    #expect(file.warnings == [])
  }

  @Test func wrongTotalIsAWarning() throws {
    let repository = try Repository(
      #"{"metadata":{"total_size":13},"weight_map":\#(ShardIndexTests.map)}"#)
    #expect(
      try TensorFile.open(repository.index).warnings == [
        "the index declares 13 bytes of tensors, but the shards contain 12"
      ])
  }

  @Test func sharedMetadataAndWarningsOfShardsAreKept() throws {
    func shard(_ name: String, _ more: String) -> [UInt8] {
      safetensors(
        #"{"__metadata__":{"format":"pt"\#(more)},"#
          + #""\#(name)":{"dtype":"U8","shape":[1],"data_offsets":[0,1],"x":1}}"#, data: [1])
    }
    let repository = try Repository(
      #"{"weight_map":{"a":"1.safetensors","b":"2.safetensors"}}"#,
      shards: ["1.safetensors": shard("a", #","k":"v""#), "2.safetensors": shard("b", "")])
    let file = try TensorFile.open(repository.index)
    #expect(file.metadata.map { "\($0.key)=\($0.value)" } == ["format=pt"])
    #expect(
      file.warnings == [
        "1.safetensors: a: the header's field \"x\" is not known and was ignored",
        "2.safetensors: b: the header's field \"x\" is not known and was ignored",
      ])
  }

  @Test func pytorchShardsAreRead() throws {
    let archive = TorchBuilder.archive().bytes
    let repository = try Repository(
      #"{"weight_map":{"w":"pytorch_model-00001-of-00001.bin"}}"#,
      shards: ["pytorch_model-00001-of-00001.bin": archive],
      name: "pytorch_model.bin.index.json")
    let file = try TensorFile.open(repository.index)
    #expect(file.format == .pytorch)
    #expect(file["w"]?.contiguousBytes() == TorchBuilder.values)
  }

  /// The hub's cache keeps every file of a repository as a link to one directory.
  @Test func linksOfTheHubsCacheAreFollowed() throws {
    let repository = try Repository(#"{"weight_map":\#(Self.map)}"#)
    let snapshot = try ScratchDirectory()
    for name in ["model.safetensors.index.json", Self.first, Self.second] {
      try FileManager.default.createSymbolicLink(
        atPath: snapshot.path(name), withDestinationPath: repository.directory.path(name))
    }
    #expect(
      try TensorFile.open(snapshot.path("model.safetensors.index.json")).tensors.count == 3)
  }

  @Test func linkOutOfTheDirectoryIsRefused() throws {
    let elsewhere = try ScratchDirectory()
    try elsewhere.write(Self.two)
    let repository = try Repository(
      #"{"weight_map":\#(Self.map)}"#, shards: [Self.first: Self.one])
    try FileManager.default.createSymbolicLink(
      atPath: repository.directory.path(Self.second), withDestinationPath: elsewhere.path("file"))
    let error = try #require(throws: FormatError.self) { try TensorFile.open(repository.index) }
    #expect(error.code == .malformed)
    #expect(
      error.message == "the shard is a symbolic link to a file outside the index's directory")
    #expect(error.context == Self.second)
    // A link that stays inside is allowed.
    try FileManager.default.removeItem(atPath: repository.directory.path(Self.second))
    try repository.directory.write(Self.two, as: "blob")
    try FileManager.default.createSymbolicLink(
      atPath: repository.directory.path(Self.second), withDestinationPath: "blob")
    #expect(try TensorFile.open(repository.index).tensors.count == 3)
  }

  /// What is wrong with an index, and the expected message; the error's offset is that of `place`.
  struct Refusal: CustomTestStringConvertible {
    let testDescription: String
    let text: String
    let message: String
    let place: String
    let context: String?
    let code: FormatError.Code

    init(
      _ name: String, _ text: String, _ message: String, at place: String,
      in context: String? = nil, code: FormatError.Code = .malformed
    ) {
      testDescription = name
      self.text = text
      self.message = message
      self.place = place
      self.context = context
      self.code = code
    }

    /// An index that places one tensor in a shard of this name, as JSON spells it.
    static func path(_ name: String, _ spelling: String, _ reason: String) -> Refusal {
      Refusal(
        name, #"{"weight_map": {"a": "\#(spelling)"}}"#, "its shard name \(reason)",
        at: "\"\(spelling)\"}", in: "a")
    }

    static func total(_ name: String, _ spelling: String, _ reason: String) -> Refusal {
      Refusal(
        name, #"{"metadata": {"total_size": \#(spelling)}, "weight_map": \#(map)}"#,
        "total_size \(reason)", at: "\(spelling)}")
    }
  }

  static let refusals: [Refusal] = [
    .path("absolute", "/etc/model.safetensors", "is an absolute path"),
    .path("parent", "../model.safetensors", #"leaves the directory with "..""#),
    .path("parent inside", "a/../model.safetensors", #"leaves the directory with "..""#),
    .path("parent alone", "..", #"leaves the directory with "..""#),
    .path("this directory", ".", #"contains the component ".""#),
    .path("this directory's", "./model.safetensors", #"contains the component ".""#),
    .path("backslash", #"a\\model.safetensors"#, "holds a backslash"),
    .path("colon", "model:1.safetensors", "holds a colon"),
    .path("drive", "C:model.safetensors", "names a drive"),
    .path("drive with a slash", "c:/model.safetensors", "names a drive"),
    .path("network path", #"\\\\host\\share.safetensors"#, "is a network path"),
    .path("control character", #"model\u0001.safetensors"#, "contains a control character"),
    .path("line feed", #"model\n.safetensors"#, "contains a control character"),
    .path("delete", #"model\u007f.safetensors"#, "contains a control character"),
    .path("NUL", #"model.safetensors\u0000.txt"#, "holds a NUL byte"),
    .path("empty", "", "is empty"),
    .path("nested", "sub/model.safetensors", "names a file in another directory"),
    .path("double slash", "sub//model.safetensors", "contains an empty component"),
    .path("URL", "https://host/model.safetensors", "is a URL"),
    // A slash and a combining mark form one character, but not another path.
    .path(
      "parent before a mark", #"../\u0301m.safetensors"#, #"leaves the directory with "..""#),
    .path("absolute before a mark", #"/\u0301m.safetensors"#, "is an absolute path"),
    .path("nested before a mark", #"s/\u0301m.safetensors"#, "names a file in another directory"),
    .path("empty part before a mark", #"s//\u0301m.safetensors"#, "contains an empty component"),
    .path("URL before a mark", #"https://\u0301m.safetensors"#, "is a URL"),
    .path("network path before a mark", #"\\\\\u0301m.safetensors"#, "is a network path"),
    .path(
      "endless", String(repeating: "x", count: 5000) + ".safetensors",
      "is too long for a path"),
    Refusal(
      "suffix", #"{"weight_map": {"a": "model.bin"}}"#,
      "the shard's name does not end in .safetensors", at: #""model.bin"}"#, in: "model.bin"),
    Refusal(
      "ghost",
      #"{"weight_map": {"g": "\#(first)", "a": "\#(first)", "c": "\#(second)","#
        + #" "b": "\#(second)"}}"#,
      "the index places the tensor in \(first), but no shard contains it", at: #""g""#, in: "g"),
    Refusal(
      "omitted", #"{"weight_map": {"a": "\#(first)", "c": "\#(second)"}}"#,
      "\(second) contains the tensor, but the index does not list it", at: #""weight_map""#, in: "b"
    ),
    Refusal(
      "wrong route", #"{"weight_map": {"a": "\#(first)", "c": "\#(second)", "b": "\#(first)"}}"#,
      "the index places the tensor in \(first), but \(second) contains it", at: #""b""#, in: "b"),
    Refusal(
      "duplicate top-level key", #"{"weight_map": \#(map), "weight_map" : {}}"#,
      "\"weight_map\" is duplicated in the index", at: #""weight_map" :"#),
    Refusal(
      "duplicate by an escape", #"{"weight_map": \#(map), "weight\u005fmap" : {}}"#,
      "\"weight_map\" is duplicated in the index", at: #""weight\u005fmap""#),
    Refusal(
      "duplicate in the metadata",
      #"{"metadata": {"k": 1, "k" : 2}, "weight_map": \#(map)}"#,
      "\"k\" is duplicated in the metadata", at: #""k" :"#),
    Refusal(
      "duplicate tensor", #"{"weight_map": {"a": "\#(first)", "a" : "\#(first)"}}"#,
      "duplicate tensor in weight_map", at: #""a" :"#, in: "a"),
    .total("boolean total", "true", "is true"),
    .total("total with an exponent", "1e1", "has an exponent: 1e1"),
    .total("total with a fraction", "12.0", "has a fraction: 12.0"),
    .total("negative total", "-12", "is negative: -12"),
    .total("null total", "null", "is null"),
    .total("text total", #""12""#, "is a string"),
    .total("array total", "[12]", "is not a number"),
    .total("overflowing total", "92233720368547758080", "is too large for a size"),
    .total(
      "overflowing negative total", "-92233720368547758080", "is negative: -92233720368547758080"),
    Refusal(
      "deep nesting",
      #"{"metadata": {"k": \#(String(repeating: "[", count: 100))"#
        + #"\#(String(repeating: "]", count: 100))}, "weight_map": \#(map)}"#,
      "the index's JSON is wrong: values are nested too deeply",
      at: String(repeating: "[", count: 35) + "]"),
    Refusal(
      "broken text", #"{"other": "weight_map": 1}"#,
      "the index's JSON is wrong: a byte stands where JSON does not allow it", at: ": 1}"),
    Refusal(
      "map elsewhere", #"{"metadata": {"weight_map": {}}}"#, "the index has no weight_map",
      at: #"{"metadata"#),
    Refusal(
      "empty map", #"{"weight_map": {}}"#, "the index lists no tensors", at: #""weight_map""#),
    Refusal(
      "map of another kind", #"{"weight_map": ["a"]}"#, "weight_map is not an object",
      at: #"["a"]"#),
    Refusal(
      "metadata of another kind", #"{"metadata": 1, "weight_map": \#(map)}"#,
      "metadata is not an object", at: "1,"),
    Refusal(
      "shard of another kind", #"{"weight_map": {"a": 1}}"#,
      "its shard name is not a string", at: "1}", in: "a"),
    Refusal(
      "missing shard", #"{"weight_map": {"a": "model-00003-of-00003.safetensors"}}"#,
      "the shard model-00003-of-00003.safetensors of 1 is missing",
      at: #""model-00003"#, in: "model-00003-of-00003.safetensors", code: .notFound),
    Refusal(
      "trailing bytes", #"{"weight_map": \#(map)} ,"#,
      "the index's JSON is wrong: something follows the value", at: ","),
  ]

  @Test(arguments: refusals)
  func wrongIndexIsRefused(_ refusal: Refusal) throws {
    let repository = try Repository(refusal.text)
    let error = try #require(throws: FormatError.self) { try TensorFile.open(repository.index) }
    #expect(error.message == refusal.message)
    #expect(error.code == refusal.code)
    #expect(error.context == refusal.context)
    #expect(error.file == repository.index)
    let place = try #require(refusal.text.range(of: refusal.place, options: .backwards))
    #expect(error.offset == refusal.text[..<place.lowerBound].utf8.count)
  }

  /// Names that begin with a combining mark, and one whose character before the suffix combines
  /// with the next.
  @Test(arguments: ["\u{301}model", "model\u{600}"])
  func namesAreComparedByTheirBytes(_ name: String) throws {
    let repository = try Repository(
      #"{"weight_map": {"a": "\#(name).safetensors"}}"#,
      shards: ["\(name).safetensors": Self.one], name: "\(name).safetensors.index.json")
    #expect(try TensorFile.open(repository.index).tensors.map(\.name) == ["a"])
  }

  /// "é" as one character and as two are two names, of shards as of directories.
  @Test func shardsThatLookAlikeAreTold() throws {
    let directory = try ScratchDirectory()
    func shard(_ name: String) -> [UInt8] {
      safetensors(#"{"\#(name)":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}"#, data: [1])
    }
    try directory.write(shard("a"), as: "e\u{301}.safetensors")
    try directory.write(shard("b"), as: "\u{e9}.safetensors")
    func index(_ first: String, _ second: String) throws -> String {
      try directory.write(
        Array(
          #"{"weight_map": {"a": "\#(first).safetensors", "b": "\#(second).safetensors"}}"#.utf8),
        as: "model.safetensors.index.json")
    }
    #expect(
      try TensorFile.open(try index("e\u{301}", "\u{e9}")).tensors.map(\.name) == ["a", "b"])
    let wrong = try index("\u{e9}", "e\u{301}")
    let error = try #require(throws: FormatError.self) { try TensorFile.open(wrong) }
    #expect(
      Array(error.message.utf8)
        == Array(
          "the index places the tensor in \u{e9}.safetensors, but e\u{301}.safetensors contains it"
            .utf8))
    #expect(error.offset == 16)
    #expect(error.context == "a")
    #expect(error.code == .malformed)
  }

  @Test func linkToADirectoryThatLooksAlikeIsRefused() throws {
    let parent = try ScratchDirectory()
    for name in ["\u{e9}", "e\u{301}"] {
      try #require(mkdir(parent.path(name), 0o777) == 0)
    }
    try parent.write(Self.one, as: "e\u{301}/\(Self.first)")
    let text = #"{"weight_map": {"a": "\#(Self.first)"}}"#
    let index = try parent.write(Array(text.utf8), as: "\u{e9}/model.safetensors.index.json")
    try #require(
      symlink(parent.path("e\u{301}/\(Self.first)"), parent.path("\u{e9}/\(Self.first)")) == 0)
    let error = try #require(throws: FormatError.self) { try TensorFile.open(index) }
    #expect(
      error.message == "the shard is a symbolic link to a file outside the index's directory")
    #expect(error.offset == 21)
    #expect(error.context == Self.first)
    #expect(error.code == .malformed)
  }

  @Test func invalidTextIsRefused() throws {
    let directory = try ScratchDirectory()
    let bytes = Array(#"{"weight_map": {""#.utf8) + [0xFF, 0x22]
    let path = try directory.write(bytes, as: "model.safetensors.index.json")
    let error = try #require(throws: FormatError.self) {
      try ShardIndex.read(try MappedFile(path: path))
    }
    #expect(error.message == "the index is not UTF-8")
    #expect(error.offset == 17)
  }

  @Test func tensorInTwoShardsIsRefused() throws {
    let both = safetensors(
      #"{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"#
        + #""b":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}"#, data: [1, 2])
    let repository = try Repository(
      #"{"weight_map": {"a": "\#(Self.first)", "b": "\#(Self.second)"}}"#,
      shards: [Self.first: Self.one, Self.second: both])
    let error = try #require(throws: FormatError.self) { try TensorFile.open(repository.index) }
    #expect(error.message == "the tensor is in two shards, \(Self.first) and \(Self.second)")
    #expect(error.context == "a")
    #expect(error.code == .malformed)
  }

  @Test func allMissingShardsAreCounted() throws {
    let repository = try Repository(
      #"{"weight_map": \#(ShardIndexTests.map)}"#, shards: [:])
    let error = try #require(throws: FormatError.self) { try TensorFile.open(repository.index) }
    #expect(error.message == "the shard \(Self.first) and 1 more of 2 is missing")
    #expect(
      error.hint?.description
        == "download \(Self.first), \(Self.second) of the model's repository to the index's "
        + "directory")
  }

  /// A broken shard is reported as a broken file.
  @Test(arguments: [
    ("truncated", Array(one.dropLast()), FormatError.Code.truncated),
    ("pointer", Array(OpeningTests.pointer.utf8), .unrecognized),
    ("index", Array(#"{"weight_map":\#(map)}"#.utf8), .malformed),
  ])
  func brokenShardIsNamed(name: String, bytes: [UInt8], code: FormatError.Code) throws {
    let repository = try Repository(
      #"{"weight_map": \#(ShardIndexTests.map)}"#,
      shards: [Self.first: bytes, Self.second: Self.two])
    let error = try #require(throws: FormatError.self) { try TensorFile.open(repository.index) }
    #expect(error.code == code)
    #expect(error.file == repository.directory.path(Self.first))
  }

  @Test func tooManyShardsAreRefused() throws {
    let map = (0..<600).map { #""t\#($0)":"\#($0).safetensors""# }.joined(separator: ",")
    let repository = try Repository(#"{"weight_map":{\#(map)}}"#, shards: [:])
    let error = try #require(throws: FormatError.self) { try TensorFile.open(repository.index) }
    #expect(error.code == .unsupported)
    #expect(error.message == "the index names 600 shards; 512 is the limit")
  }

  @Test func otherTextWithAMapOfWeightsBehindIsNoIndex() throws {
    let repository = try Repository(#"{"weights_map": 1}"#, shards: [:])
    let error = try #require(throws: FormatError.self) { try TensorFile.open(repository.index) }
    #expect(error.code == .unrecognized)
    #expect(try TensorFile.sniff(repository.index) == .json)
  }
}

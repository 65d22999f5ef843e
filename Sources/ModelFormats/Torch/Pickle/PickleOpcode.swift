/// The opcodes of pickle protocols 0 to 5.
///
/// Source: CPython's `pickletools`, with its names.
enum PickleOpcode: UInt8 {
  // Protocol 0: text.
  case mark = 0x28
  case stop = 0x2E
  case pop = 0x30
  case duplicate = 0x32
  case float = 0x46
  case integer = 0x49
  case long = 0x4C
  case none = 0x4E
  case persistentID = 0x50
  case reduce = 0x52
  case string = 0x53
  case unicode = 0x56
  case append = 0x61
  case build = 0x62
  case global = 0x63
  case dictionary = 0x64
  case get = 0x67
  case instance = 0x69
  case list = 0x6C
  case put = 0x70
  case setItem = 0x73
  case tuple = 0x74
  // Protocol 1: binary.
  case emptyTuple = 0x29
  case popMark = 0x31
  case binaryFloat = 0x47
  case binaryInteger = 0x4A
  case binaryInteger1 = 0x4B
  case binaryInteger2 = 0x4D
  case binaryPersistentID = 0x51
  case binaryString = 0x54
  case shortBinaryString = 0x55
  case binaryUnicode = 0x58
  case emptyList = 0x5D
  case appends = 0x65
  case binaryGet = 0x68
  case longBinaryGet = 0x6A
  case object = 0x6F
  case binaryPut = 0x71
  case longBinaryPut = 0x72
  case setItems = 0x75
  case emptyDictionary = 0x7D
  // Protocol 2.
  case proto = 0x80
  case newObject = 0x81
  case extension1 = 0x82
  case extension2 = 0x83
  case extension4 = 0x84
  case tuple1 = 0x85
  case tuple2 = 0x86
  case tuple3 = 0x87
  case newTrue = 0x88
  case newFalse = 0x89
  case long1 = 0x8A
  case long4 = 0x8B
  // Protocol 3.
  case binaryBytes = 0x42
  case shortBinaryBytes = 0x43
  // Protocol 4.
  case shortBinaryUnicode = 0x8C
  case binaryUnicode8 = 0x8D
  case binaryBytes8 = 0x8E
  case emptySet = 0x8F
  case addItems = 0x90
  case frozenSet = 0x91
  case newObjectKeywords = 0x92
  case stackGlobal = 0x93
  case memoize = 0x94
  case frame = 0x95
  // Protocol 5.
  case byteArray8 = 0x96
  case nextBuffer = 0x97
  case readOnlyBuffer = 0x98
}

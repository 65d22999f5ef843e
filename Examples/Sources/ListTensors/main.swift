import ModelFormats

// ListTensors FILE: lists the tensors of a file in any format that ModelFormats reads.
guard let path = CommandLine.arguments.dropFirst().first else { fatalError("name a file") }
let file = try TensorFile.open(path)
print("\(file.format.rawValue), \(file.tensors.count) tensors")

for tensor in file.tensors {
  // The file is mapped: values are read when they are requested, so large files list at once.
  let zeros = tensor.withContiguousBytes { bytes in bytes.count { $0 == 0 } }
  print("\(tensor.name) \(tensor.dtype) \(tensor.shape): \(tensor.byteCount) bytes, \(zeros) zero")
}

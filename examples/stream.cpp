// Remove the noise from a stream, hop by hop, with an exported student's graph for streams and onnxruntime alone.
//
//   g++ -O2 -std=c++17 stream.cpp -o stream $(pkg-config --cflags --libs libonnxruntime)
//   ffmpeg -i noisy.wav -f f32le -ar 16000 -ac 1 - | ./stream student.stream.onnx | aplay -f FLOAT_LE -r 16000
//
// Samples are raw float32 of one channel, at the rate that the graph's metadata states.
#include <onnxruntime_cxx_api.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <exception>
#include <string>
#include <vector>

namespace {

// A tensor of zeros of the shape and type that the graph states: the state before the first hop, or an empty hop.
Ort::Value zeros(const Ort::Session& session, size_t index) {
  Ort::AllocatorWithDefaultOptions allocator;
  const auto info = session.GetInputTypeInfo(index);
  const auto tensor = info.GetTensorTypeAndShapeInfo();
  const auto shape = tensor.GetShape();
  auto value = Ort::Value::CreateTensor(allocator, shape.data(), shape.size(), tensor.GetElementType());
  const size_t bytes = tensor.GetElementType() == ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT ? 4 : 8;  // else double or int64
  std::memset(value.GetTensorMutableRawData(), 0, bytes * tensor.GetElementCount());
  return value;
}

void run(const char* path) {
  Ort::Env environment(ORT_LOGGING_LEVEL_ERROR);
  Ort::SessionOptions options;
  options.SetIntraOpNumThreads(1);  // fastest for a hop
  Ort::ThrowOnError(Ort::GetApi().AddFreeDimensionOverrideByName(options, "hops", 1));
  Ort::Session session(environment, path, options);

  // Inputs and outputs are in the same order: the sound first, then the state.
  Ort::AllocatorWithDefaultOptions allocator;
  std::vector<std::string> names;
  std::vector<const char*> inputs, outputs;
  std::vector<Ort::Value> feeds;
  const size_t count = session.GetInputCount();
  for (size_t index = 0; index < count; ++index) {
    names.emplace_back(session.GetInputNameAllocated(index, allocator).get());
    names.emplace_back(session.GetOutputNameAllocated(index, allocator).get());
    feeds.push_back(zeros(session, index));
  }
  for (size_t index = 0; index < count; ++index) {
    inputs.push_back(names[2 * index].c_str());
    outputs.push_back(names[2 * index + 1].c_str());
  }
  const size_t hop = feeds[0].GetTensorTypeAndShapeInfo().GetElementCount();
  size_t late = std::stoul(session.GetModelMetadata().LookupCustomMetadataMapAllocated("delay", allocator).get());

  // After the end, zeros are fed until as many samples have come out as went in.
  for (size_t fed = 0, written = 0, got = hop; got == hop || written < fed;) {
    float* block = feeds[0].GetTensorMutableData<float>();
    got = std::fread(block, sizeof(float), hop, stdin);
    std::fill(block + got, block + hop, 0.0f);
    fed += got;
    auto results = session.Run(Ort::RunOptions{}, inputs.data(), feeds.data(), count, outputs.data(), count);
    const size_t skipped = std::min(late, hop);  // the first samples are not part of the estimate
    const size_t ready = std::min(hop - skipped, fed - written);
    std::fwrite(results[0].GetTensorData<float>() + skipped, sizeof(float), ready, stdout);
    late -= skipped;
    written += ready;
    std::move(results.begin() + 1, results.end(), feeds.begin() + 1);
  }
}

}  // namespace

int main(int count, char** words) try {
  if (count != 2) return std::fprintf(stderr, "usage: stream STUDENT.stream.onnx < noisy.raw > clean.raw\n"), 2;
  run(words[1]);
} catch (const std::exception& error) {
  return std::fprintf(stderr, "%s\n", error.what()), 1;
}

// Reciprocal space. Twins: impose, intensity and multiply of twins.py. Arrays are (start, voxel); those without a start are shared.

#define DARK 1e-15f  // least modulus that is divided by

__device__ float2 imposed(float2 wave, float counts, float goal, float scale, float& error)
{
    const float modulus = sqrtf(fmaxf(counts, 0.0f));
    const bool known = goal >= 0.0f;
    const float miss = known ? modulus - goal : 0.0f;
    const float ratio = scale * (known ? goal / fmaxf(modulus, DARK) : 1.0f);
    error += miss * miss;
    return make_float2(wave.x * ratio, wave.y * ratio);
}

// Coherent light: the counts expected are |psi|^2 + background. `step` is 0 for one background for all pixels, else 1.
extern "C" __global__ void impose(float2* __restrict__ psi, const float* __restrict__ target, const float* __restrict__ background,
                                  int step, float scale, float* __restrict__ error, long long n)
{
    __shared__ float shared[MOST_THREADS];
    float2* __restrict__ waves = psi + OF_THIS_START(n);
    float mine = 0.0f;
    EACH_VOXEL(i, n)
    {
        const float2 wave = waves[i];
        const float counts = wave.x * wave.x + wave.y * wave.y + background[i * step];
        waves[i] = imposed(wave, counts, target[i], scale, mine);
    }
    const float total = over_block(mine, shared, Sum());
    if (threadIdx.x == 0) error[OF_THIS_BLOCK] = total;
}

// The same with the counts of the crystal given, as after the blur of partial coherence; a blur may leave them below zero.
extern "C" __global__ void impose_expected(float2* __restrict__ psi, const float* __restrict__ expected, const float* __restrict__ target,
                                           const float* __restrict__ background, int step, float scale, float* __restrict__ error,
                                           long long n)
{
    __shared__ float shared[MOST_THREADS];
    float2* __restrict__ waves = psi + OF_THIS_START(n);
    const float* __restrict__ blurred = expected + OF_THIS_START(n);
    float mine = 0.0f;
    EACH_VOXEL(i, n)
    {
        const float counts = fmaxf(blurred[i], 0.0f) + background[i * step];
        waves[i] = imposed(waves[i], counts, target[i], scale, mine);
    }
    const float total = over_block(mine, shared, Sum());
    if (threadIdx.x == 0) error[OF_THIS_BLOCK] = total;
}

extern "C" __global__ void intensity(const float2* __restrict__ psi, float* __restrict__ out, long long n)
{
    EACH_VOXEL(i, n)
    {
        const float2 wave = psi[OF_THIS_START(n) + i];
        out[OF_THIS_START(n) + i] = wave.x * wave.x + wave.y * wave.y;
    }
}

// Half spectrum times a real window that all starts share: a blur, or the degree of coherence.
extern "C" __global__ void multiply(float2* __restrict__ spectrum, const float* __restrict__ window, float scale, long long n)
{
    EACH_VOXEL(i, n)
    {
        const float2 value = spectrum[OF_THIS_START(n) + i];
        const float factor = scale * window[i];
        spectrum[OF_THIS_START(n) + i] = make_float2(value.x * factor, value.y * factor);
    }
}

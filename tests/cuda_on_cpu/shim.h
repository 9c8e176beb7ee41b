// Runs CUDA C on the CPU for tests: every thread of a block is a fibre, and a barrier passes the turn to the next one.
// What it cannot show: warps, the memory model, occupancy.
#include <ucontext.h>

#include <cmath>
#include <cstdint>
#include <vector>

struct Index3 { unsigned x, y, z; };
struct float2 { float x, y; };
static inline float2 make_float2(float x, float y) { return {x, y}; }

static Index3 threadIdx, blockIdx, blockDim, gridDim;

#define __global__
#define __device__
#define __restrict__
#define __shared__ static
#define __syncthreads() shim_yield()

static ucontext_t shim_main;
static std::vector<ucontext_t> shim_fibres;
static std::vector<char> shim_done;
static int shim_now;
static void (*shim_kernel)(void**);
static void** shim_arguments;

static inline void shim_yield()
{
    const Index3 mine = threadIdx;
    swapcontext(&shim_fibres[shim_now], &shim_main);
    threadIdx = mine;
}

static void shim_enter()
{
    shim_kernel(shim_arguments);
    shim_done[shim_now] = 1;
    swapcontext(&shim_fibres[shim_now], &shim_main);
}

// 0: in order, 1: reversed, 2: every other one. Results must not depend on it.
static int shim_turn(int k, int n, int order)
{
    if (order == 0) return k;
    if (order == 1) return n - 1 - k;
    const int even = (n + 1) / 2;
    return k < even ? 2 * k : 2 * (k - even) + 1;
}

static void shim_block(int n, int order, std::vector<char>& stacks)
{
    const size_t room = stacks.size() / n;
    shim_done.assign(n, 0);
    for (int i = 0; i < n; i++) {
        getcontext(&shim_fibres[i]);
        shim_fibres[i].uc_stack.ss_sp = &stacks[i * room];
        shim_fibres[i].uc_stack.ss_size = room;
        shim_fibres[i].uc_link = nullptr;
        makecontext(&shim_fibres[i], shim_enter, 0);
    }
    for (int left = n; left > 0;)
        for (int k = 0; k < n; k++) {
            const int i = shim_turn(k, n, order);
            if (shim_done[i]) continue;
            shim_now = i;
            threadIdx = {(unsigned)i, 0, 0};
            swapcontext(&shim_main, &shim_fibres[i]);
            left -= shim_done[i];
        }
}

static void shim_run(void (*kernel)(void**), void** arguments, unsigned across, unsigned down, int threads, int order)
{
    std::vector<char> stacks((size_t)threads * 32768);
    shim_fibres.resize(threads);
    shim_kernel = kernel;
    shim_arguments = arguments;
    gridDim = {across, down, 1};
    blockDim = {(unsigned)threads, 1, 1};
    for (unsigned y = 0; y < down; y++)
        for (unsigned x = 0; x < across; x++) {
            blockIdx = {x, y, 0};
            shim_block(threads, order, stacks);
        }
}

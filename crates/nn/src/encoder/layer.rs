//! One layer, forward and backward.
//!
//! ```text
//! attended = x + dropout(attention(x)·Wᵒ + bᵒ)      middle = LayerNorm(attended)
//! summed   = middle + dropout(gelu(middle·Wᵘ + bᵘ)·Wᵈ + bᵈ)      out = LayerNorm(summed)
//! ```

use crate::encoder::weights::Layer;
use crate::encoder::{Config, Noise, Place};
use poststelle_kernels::attention::{self, Shape};
use poststelle_kernels::matmul::{Precision, Product};
use poststelle_kernels::{dropout, gelu, norm};

/// What the backward pass of a layer needs from its forward pass; all `[tokens, …]`.
#[derive(Default)]
pub struct Tape {
    pub input: Vec<f32>,
    qkv: Vec<f32>,
    context: Vec<f32>,
    attended: Vec<f32>,
    middle: Vec<f32>,
    inner: Vec<f32>,
    summed: Vec<f32>,
}

/// Buffers of the backward pass, used by one layer after another.
#[derive(Default)]
pub struct Scratch {
    wide: Vec<f32>,
    activated: Vec<f32>,
    narrow: Vec<f32>,
    context: Vec<f32>,
    qkv: Vec<f32>,
}

/// `buffer` with `n` elements of any value, keeping its memory.
fn sized(buffer: &mut Vec<f32>, n: usize) -> &mut [f32] {
    buffer.resize(n, 0.0);
    &mut buffer[..n]
}

/// Everything a layer's pass works with besides weights and activations.
#[derive(Clone, Copy)]
pub struct Pass<'a> {
    pub config: &'a Config,
    pub precision: Precision,
    pub starts: &'a [usize],
    pub noise: Noise,
    pub layer: usize,
}

impl Pass<'_> {
    fn shape(&self) -> Shape<'_> {
        Shape {
            starts: self.starts,
            heads: self.config.heads,
            head_width: self.config.head_width(),
        }
    }

    fn dropout(&self, place: Place) -> dropout::Dropout {
        self.noise.dropout(self.layer + 1, place)
    }
}

impl Layer {
    /// Computes the layer's output from `tape.input` into `out`, both `[tokens, hidden]`.
    pub fn forward(&self, pass: Pass<'_>, tape: &mut Tape, out: &mut Vec<f32>) {
        let (config, precision) = (pass.config, pass.precision);
        let (n, hidden) = (tape.input.len() / config.hidden, config.hidden);
        let Tape {
            input,
            qkv,
            context,
            attended,
            middle,
            inner,
            summed,
        } = tape;

        let qkv = sized(qkv, n * 3 * hidden);
        self.qkv.product(precision, input, qkv);
        norm::add_bias(qkv, &self.qkv.bias);
        let context = sized(context, n * hidden);
        attention::forward(pass.shape(), qkv, pass.dropout(Place::Attention), context);

        let attended = sized(attended, n * hidden);
        self.attention_out.product(precision, context, attended);
        let bias = &self.attention_out.bias;
        norm::add_bias_dropout_residual(attended, bias, pass.dropout(Place::AttentionOut), input);
        let middle = sized(middle, n * hidden);
        let after = &self.attention_norm;
        norm::forward(attended, &after.gain, &after.bias, config.epsilon, middle);

        let inner = sized(inner, n * config.feed_forward);
        self.up.product(precision, middle, inner);
        norm::add_bias(inner, &self.up.bias);
        // The activation is computed again in the backward pass; here it borrows the memory of `out`.
        let activated = sized(out, n * config.feed_forward);
        gelu::forward(inner, activated);
        let summed = sized(summed, n * hidden);
        self.down.product(precision, activated, summed);
        norm::add_bias_dropout_residual(summed, &self.down.bias, pass.dropout(Place::Output), middle);
        let after = &self.output_norm;
        norm::forward(
            summed,
            &after.gain,
            &after.bias,
            config.epsilon,
            sized(out, n * hidden),
        );
    }

    /// Turns the gradient of the output into that of the input, in place, and adds the weights' to `grads`.
    ///
    /// `below` says whether the gradient of the input is needed; without it `grad` is left undefined.
    pub fn backward(
        &self,
        pass: Pass<'_>,
        tape: &Tape,
        scratch: &mut Scratch,
        grad: &mut [f32],
        grads: &mut Layer,
        below: bool,
    ) {
        let (config, precision) = (pass.config, pass.precision);
        let (n, hidden) = (tape.input.len() / config.hidden, config.hidden);
        let Scratch {
            wide,
            activated,
            narrow,
            context,
            qkv,
        } = scratch;

        let after = &mut grads.output_norm;
        let gain = &self.output_norm.gain;
        norm::backward(
            &tape.summed,
            gain,
            config.epsilon,
            grad,
            &mut after.gain,
            &mut after.bias,
        );
        // `grad` now belongs to `summed`: it flows on through the residual and, dropped out, through the block.
        let narrow = sized(narrow, n * hidden);
        narrow.copy_from_slice(grad);
        dropout::apply(pass.dropout(Place::Output), narrow);
        let activated = sized(activated, n * config.feed_forward);
        gelu::forward(&tape.inner, activated);
        let wide = sized(wide, n * config.feed_forward);
        self.down.backward(
            precision,
            activated,
            narrow,
            &mut grads.down,
            Some((Product::Replace, wide)),
        );
        gelu::backward(&tape.inner, wide);
        self.up.backward(
            precision,
            &tape.middle,
            wide,
            &mut grads.up,
            Some((Product::Add, grad)),
        );

        let after = &mut grads.attention_norm;
        let gain = &self.attention_norm.gain;
        norm::backward(
            &tape.attended,
            gain,
            config.epsilon,
            grad,
            &mut after.gain,
            &mut after.bias,
        );
        narrow.copy_from_slice(grad);
        dropout::apply(pass.dropout(Place::AttentionOut), narrow);
        let context_grad = sized(context, n * hidden);
        let into_context = Some((Product::Replace, &mut context_grad[..]));
        self.attention_out.backward(
            precision,
            &tape.context,
            narrow,
            &mut grads.attention_out,
            into_context,
        );
        let qkv = sized(qkv, n * 3 * hidden);
        attention::backward(
            pass.shape(),
            &tape.qkv,
            pass.dropout(Place::Attention),
            context_grad,
            qkv,
        );
        let into_input = below.then_some((Product::Add, grad));
        self.qkv
            .backward(precision, &tape.input, qkv, &mut grads.qkv, into_input);
    }
}

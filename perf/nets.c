#include "nets.h"

#include <string.h>

/* A layer a line. */
/* clang-format off */

/* He et al., "Deep residual learning for image recognition", CVPR 2016, in the variant "v1.5": the stride is in the 3x3, not in
 * the 1x1 before it. torchvision/models/resnet.py (pytorch/vision). */
static const struct net_layer resnet50[] = {
    {"mb1ic3ih224oc64oh112kh7sh2ph3n\"conv1\"", false},
    {"mb1ic64ih56oc64oh56kh1ph0n\"res2a_1x1a\"", false},
    {"mb1ic64ih56oc64oh56kh3ph1n\"res2a_3x3*3\"", false},
    {"mb1ic64ih56oc256oh56kh1ph0n\"res2a_1x1b*4\"", false},
    {"mb1ic256ih56oc64oh56kh1ph0n\"res2b_1x1a*2\"", false},
    {"mb1ic256ih56oc128oh56kh1ph0n\"res3a_1x1a\"", false},
    {"mb1ic128ih56oc128oh28kh3sh2ph1n\"res3a_3x3\"", false},
    {"mb1ic128ih28oc512oh28kh1ph0n\"res3a_1x1b*4\"", false},
    {"mb1ic256ih56oc512oh28kh1sh2ph0n\"res3a_shortcut\"", false},
    {"mb1ic512ih28oc128oh28kh1ph0n\"res3b_1x1a*3\"", false},
    {"mb1ic128ih28oc128oh28kh3ph1n\"res3b_3x3*3\"", false},
    {"mb1ic512ih28oc256oh28kh1ph0n\"res4a_1x1a\"", false},
    {"mb1ic256ih28oc256oh14kh3sh2ph1n\"res4a_3x3\"", false},
    {"mb1ic256ih14oc1024oh14kh1ph0n\"res4a_1x1b*6\"", false},
    {"mb1ic512ih28oc1024oh14kh1sh2ph0n\"res4a_shortcut\"", false},
    {"mb1ic1024ih14oc256oh14kh1ph0n\"res4b_1x1a*5\"", false},
    {"mb1ic256ih14oc256oh14kh3ph1n\"res4b_3x3*5\"", false},
    {"mb1ic1024ih14oc512oh14kh1ph0n\"res5a_1x1a\"", false},
    {"mb1ic512ih14oc512oh7kh3sh2ph1n\"res5a_3x3\"", false},
    {"mb1ic512ih7oc2048oh7kh1ph0n\"res5a_1x1b*3\"", false},
    {"mb1ic1024ih14oc2048oh7kh1sh2ph0n\"res5a_shortcut\"", false},
    {"mb1ic2048ih7oc512oh7kh1ph0n\"res5b_1x1a*2\"", false},
    {"mb1ic512ih7oc512oh7kh3ph1n\"res5b_3x3*2\"", false},
};

/* Simonyan, Zisserman, "Very deep convolutional networks for large-scale image recognition", ICLR 2015, configuration D.
 * torchvision/models/vgg.py. */
static const struct net_layer vgg16[] = {
    {"mb1ic3ih224oc64oh224kh3ph1n\"conv1_1\"", false},
    {"mb1ic64ih224oc64oh224kh3ph1n\"conv1_2\"", false},
    {"mb1ic64ih112oc128oh112kh3ph1n\"conv2_1\"", false},
    {"mb1ic128ih112oc128oh112kh3ph1n\"conv2_2\"", false},
    {"mb1ic128ih56oc256oh56kh3ph1n\"conv3_1\"", false},
    {"mb1ic256ih56oc256oh56kh3ph1n\"conv3_2*2\"", false},
    {"mb1ic256ih28oc512oh28kh3ph1n\"conv4_1\"", false},
    {"mb1ic512ih28oc512oh28kh3ph1n\"conv4_2*2\"", false},
    {"mb1ic512ih14oc512oh14kh3ph1n\"conv5_1*3\"", false},
};

/* Howard et al., "MobileNets", arXiv:1704.04861, width 1.0, 224x224. research/slim/nets/mobilenet_v1.py (tensorflow/models),
 * whose "SAME" padding puts the odd zero of a strided layer behind the image: ph0, and one at the end. */
static const struct net_layer mobilenet_v1[] = {
    {"mb1ic3ih224oc32oh112kh3sh2ph0n\"conv0\"", false},
    {"g32mb1ic32ih112oc32oh112kh3ph1n\"conv1_dw\"", false},
    {"mb1ic32ih112oc64oh112kh1ph0n\"conv1_pw\"", false},
    {"g64mb1ic64ih112oc64oh56kh3sh2ph0n\"conv2_dw\"", false},
    {"mb1ic64ih56oc128oh56kh1ph0n\"conv2_pw\"", false},
    {"g128mb1ic128ih56oc128oh56kh3ph1n\"conv3_dw\"", false},
    {"mb1ic128ih56oc128oh56kh1ph0n\"conv3_pw\"", false},
    {"g128mb1ic128ih56oc128oh28kh3sh2ph0n\"conv4_dw\"", false},
    {"mb1ic128ih28oc256oh28kh1ph0n\"conv4_pw\"", false},
    {"g256mb1ic256ih28oc256oh28kh3ph1n\"conv5_dw\"", false},
    {"mb1ic256ih28oc256oh28kh1ph0n\"conv5_pw\"", false},
    {"g256mb1ic256ih28oc256oh14kh3sh2ph0n\"conv6_dw\"", false},
    {"mb1ic256ih14oc512oh14kh1ph0n\"conv6_pw\"", false},
    {"g512mb1ic512ih14oc512oh14kh3ph1n\"conv7_dw*5\"", false},
    {"mb1ic512ih14oc512oh14kh1ph0n\"conv7_pw*5\"", false},
    {"g512mb1ic512ih14oc512oh7kh3sh2ph0n\"conv12_dw\"", false},
    {"mb1ic512ih7oc1024oh7kh1ph0n\"conv12_pw\"", false},
    {"g1024mb1ic1024ih7oc1024oh7kh3ph1n\"conv13_dw\"", false},
    {"mb1ic1024ih7oc1024oh7kh1ph0n\"conv13_pw\"", false},
};

/* Sandler et al., "MobileNetV2: inverted residuals and linear bottlenecks", CVPR 2018, width 1.0, 224x224.
 * torchvision/models/mobilenetv2.py (padding 1 on both sides). */
static const struct net_layer mobilenet_v2[] = {
    {"mb1ic3ih224oc32oh112kh3sh2ph1n\"conv0\"", false},
    {"g32mb1ic32ih112oc32oh112kh3ph1n\"block1_dw\"", false},
    {"mb1ic32ih112oc16oh112kh1ph0n\"block1_project\"", false},
    {"mb1ic16ih112oc96oh112kh1ph0n\"block2_expand\"", false},
    {"g96mb1ic96ih112oc96oh56kh3sh2ph1n\"block2_dw\"", false},
    {"mb1ic96ih56oc24oh56kh1ph0n\"block2_project\"", false},
    {"mb1ic24ih56oc144oh56kh1ph0n\"block3_expand*2\"", false},
    {"g144mb1ic144ih56oc144oh56kh3ph1n\"block3_dw\"", false},
    {"mb1ic144ih56oc24oh56kh1ph0n\"block3_project\"", false},
    {"g144mb1ic144ih56oc144oh28kh3sh2ph1n\"block4_dw\"", false},
    {"mb1ic144ih28oc32oh28kh1ph0n\"block4_project\"", false},
    {"mb1ic32ih28oc192oh28kh1ph0n\"block5_expand*3\"", false},
    {"g192mb1ic192ih28oc192oh28kh3ph1n\"block5_dw*2\"", false},
    {"mb1ic192ih28oc32oh28kh1ph0n\"block5_project*2\"", false},
    {"g192mb1ic192ih28oc192oh14kh3sh2ph1n\"block7_dw\"", false},
    {"mb1ic192ih14oc64oh14kh1ph0n\"block7_project\"", false},
    {"mb1ic64ih14oc384oh14kh1ph0n\"block8_expand*4\"", false},
    {"g384mb1ic384ih14oc384oh14kh3ph1n\"block8_dw*4\"", false},
    {"mb1ic384ih14oc64oh14kh1ph0n\"block8_project*3\"", false},
    {"mb1ic384ih14oc96oh14kh1ph0n\"block11_project\"", false},
    {"mb1ic96ih14oc576oh14kh1ph0n\"block12_expand*3\"", false},
    {"g576mb1ic576ih14oc576oh14kh3ph1n\"block12_dw*2\"", false},
    {"mb1ic576ih14oc96oh14kh1ph0n\"block12_project*2\"", false},
    {"g576mb1ic576ih14oc576oh7kh3sh2ph1n\"block14_dw\"", false},
    {"mb1ic576ih7oc160oh7kh1ph0n\"block14_project\"", false},
    {"mb1ic160ih7oc960oh7kh1ph0n\"block15_expand*3\"", false},
    {"g960mb1ic960ih7oc960oh7kh3ph1n\"block15_dw*3\"", false},
    {"mb1ic960ih7oc160oh7kh1ph0n\"block15_project*2\"", false},
    {"mb1ic960ih7oc320oh7kh1ph0n\"block17_project\"", false},
    {"mb1ic320ih7oc1280oh7kh1ph0n\"conv18\"", false},
};

/* Szegedy et al., "Rethinking the Inception architecture for computer vision", CVPR 2016: Inception v3, 299x299, without the
 * auxiliary classifier. torchvision/models/inception.py. */
static const struct net_layer googlenet_v3[] = {
    {"mb1ic3ih299oc32oh149kh3sh2ph0n\"1a_3x3\"", false},
    {"mb1ic32ih149oc32oh147kh3ph0n\"2a_3x3\"", false},
    {"mb1ic32ih147oc64oh147kh3ph1n\"2b_3x3\"", false},
    {"mb1ic64ih73oc80oh73kh1ph0n\"3b_1x1\"", false},
    {"mb1ic80ih73oc192oh71kh3ph0n\"4a_3x3\"", false},
    {"mb1ic192ih35oc64oh35kh1ph0n\"5b_1x1*2\"", false},
    {"mb1ic192ih35oc48oh35kh1ph0n\"5b_5x5_1\"", false},
    {"mb1ic48ih35oc64oh35kh5ph2n\"5b_5x5_2*3\"", false},
    {"mb1ic64ih35oc96oh35kh3ph1n\"5b_3x3dbl_2*4\"", false},
    {"mb1ic96ih35oc96oh35kh3ph1n\"5b_3x3dbl_3*3\"", false},
    {"mb1ic192ih35oc32oh35kh1ph0n\"5b_pool\"", false},
    {"mb1ic256ih35oc64oh35kh1ph0n\"5c_1x1*3\"", false},
    {"mb1ic256ih35oc48oh35kh1ph0n\"5c_5x5_1\"", false},
    {"mb1ic288ih35oc64oh35kh1ph0n\"5d_1x1*4\"", false},
    {"mb1ic288ih35oc48oh35kh1ph0n\"5d_5x5_1\"", false},
    {"mb1ic288ih35oc384oh17kh3sh2ph0n\"6a_3x3\"", false},
    {"mb1ic96ih35oc96oh17kh3sh2ph0n\"6a_3x3dbl_3\"", false},
    {"mb1ic768ih17oc192oh17kh1ph0n\"6b_1x1*12\"", false},
    {"mb1ic768ih17oc128oh17kh1ph0n\"6b_7x7_1*2\"", false},
    {"mb1ic128ih17iw17oc128oh17ow17kh1kw7ph0pw3n\"6b_7x7_2*2\"", false},
    {"mb1ic128ih17iw17oc192oh17ow17kh7kw1ph3pw0n\"6b_7x7_3\"", false},
    {"mb1ic128ih17iw17oc128oh17ow17kh7kw1ph3pw0n\"6b_7x7dbl_2*2\"", false},
    {"mb1ic128ih17iw17oc192oh17ow17kh1kw7ph0pw3n\"6b_7x7dbl_5\"", false},
    {"mb1ic768ih17oc160oh17kh1ph0n\"6c_7x7_1*4\"", false},
    {"mb1ic160ih17iw17oc160oh17ow17kh1kw7ph0pw3n\"6c_7x7_2*4\"", false},
    {"mb1ic160ih17iw17oc192oh17ow17kh7kw1ph3pw0n\"6c_7x7_3*2\"", false},
    {"mb1ic160ih17iw17oc160oh17ow17kh7kw1ph3pw0n\"6c_7x7dbl_2*4\"", false},
    {"mb1ic160ih17iw17oc192oh17ow17kh1kw7ph0pw3n\"6c_7x7dbl_5*2\"", false},
    {"mb1ic192ih17iw17oc192oh17ow17kh1kw7ph0pw3n\"6e_7x7_2*4\"", false},
    {"mb1ic192ih17iw17oc192oh17ow17kh7kw1ph3pw0n\"6e_7x7_3*4\"", false},
    {"mb1ic192ih17oc320oh8kh3sh2ph0n\"7a_3x3_2\"", false},
    {"mb1ic192ih17oc192oh8kh3sh2ph0n\"7a_7x7x3_4\"", false},
    {"mb1ic1280ih8oc320oh8kh1ph0n\"7b_1x1\"", false},
    {"mb1ic1280ih8oc384oh8kh1ph0n\"7b_3x3_1\"", false},
    {"mb1ic384ih8iw8oc384oh8ow8kh1kw3ph0pw1n\"7b_3x3_2a*4\"", false},
    {"mb1ic384ih8iw8oc384oh8ow8kh3kw1ph1pw0n\"7b_3x3_2b*4\"", false},
    {"mb1ic1280ih8oc448oh8kh1ph0n\"7b_3x3dbl_1\"", false},
    {"mb1ic448ih8oc384oh8kh3ph1n\"7b_3x3dbl_2*2\"", false},
    {"mb1ic1280ih8oc192oh8kh1ph0n\"7b_pool\"", false},
    {"mb1ic2048ih8oc320oh8kh1ph0n\"7c_1x1\"", false},
    {"mb1ic2048ih8oc384oh8kh1ph0n\"7c_3x3_1\"", false},
    {"mb1ic2048ih8oc448oh8kh1ph0n\"7c_3x3dbl_1\"", false},
    {"mb1ic2048ih8oc192oh8kh1ph0n\"7c_pool\"", false},
};

/* Ronneberger, Fischer, Brox, "U-Net", MICCAI 2015, as in its figure 1 and the prototxt of u-net-release: 572x572 in, 388x388
 * out, no padding anywhere, 2 classes. The up-convolutions are 2x2 transposed convolutions of stride 2. */
static const struct net_layer unet[] = {
    {"mb1ic1ih572oc64oh570kh3ph0n\"down0_1\"", false},
    {"mb1ic64ih570oc64oh568kh3ph0n\"down0_2\"", false},
    {"mb1ic64ih284oc128oh282kh3ph0n\"down1_1\"", false},
    {"mb1ic128ih282oc128oh280kh3ph0n\"down1_2\"", false},
    {"mb1ic128ih140oc256oh138kh3ph0n\"down2_1\"", false},
    {"mb1ic256ih138oc256oh136kh3ph0n\"down2_2\"", false},
    {"mb1ic256ih68oc512oh66kh3ph0n\"down3_1\"", false},
    {"mb1ic512ih66oc512oh64kh3ph0n\"down3_2\"", false},
    {"mb1ic512ih32oc1024oh30kh3ph0n\"down4_1\"", false},
    {"mb1ic1024ih30oc1024oh28kh3ph0n\"down4_2\"", false},
    {"mb1ic1024ih28oc512oh56kh2sh2ph0n\"up3_upconv\"", true},
    {"mb1ic1024ih56oc512oh54kh3ph0n\"up3_1\"", false},
    {"mb1ic512ih54oc512oh52kh3ph0n\"up3_2\"", false},
    {"mb1ic512ih52oc256oh104kh2sh2ph0n\"up2_upconv\"", true},
    {"mb1ic512ih104oc256oh102kh3ph0n\"up2_1\"", false},
    {"mb1ic256ih102oc256oh100kh3ph0n\"up2_2\"", false},
    {"mb1ic256ih100oc128oh200kh2sh2ph0n\"up1_upconv\"", true},
    {"mb1ic256ih200oc128oh198kh3ph0n\"up1_1\"", false},
    {"mb1ic128ih198oc128oh196kh3ph0n\"up1_2\"", false},
    {"mb1ic128ih196oc64oh392kh2sh2ph0n\"up0_upconv\"", true},
    {"mb1ic128ih392oc64oh390kh3ph0n\"up0_1\"", false},
    {"mb1ic64ih390oc64oh388kh3ph0n\"up0_2\"", false},
    {"mb1ic64ih388oc2oh388kh1ph0n\"score\"", false},
};

/* Xie et al., "Aggregated residual transformations for deep neural networks", CVPR 2017: 32x4d. torchvision/models/resnet.py
 * (resnext50_32x4d). */
static const struct net_layer resnext50[] = {
    {"mb1ic3ih224oc64oh112kh7sh2ph3n\"conv1\"", false},
    {"mb1ic64ih56oc128oh56kh1ph0n\"res2a_1x1a\"", false},
    {"g32mb1ic128ih56oc128oh56kh3ph1n\"res2a_3x3*3\"", false},
    {"mb1ic128ih56oc256oh56kh1ph0n\"res2a_1x1b*3\"", false},
    {"mb1ic64ih56oc256oh56kh1ph0n\"res2a_shortcut\"", false},
    {"mb1ic256ih56oc128oh56kh1ph0n\"res2b_1x1a*2\"", false},
    {"mb1ic256ih56oc256oh56kh1ph0n\"res3a_1x1a\"", false},
    {"g32mb1ic256ih56oc256oh28kh3sh2ph1n\"res3a_3x3\"", false},
    {"mb1ic256ih28oc512oh28kh1ph0n\"res3a_1x1b*4\"", false},
    {"mb1ic256ih56oc512oh28kh1sh2ph0n\"res3a_shortcut\"", false},
    {"mb1ic512ih28oc256oh28kh1ph0n\"res3b_1x1a*3\"", false},
    {"g32mb1ic256ih28oc256oh28kh3ph1n\"res3b_3x3*3\"", false},
    {"mb1ic512ih28oc512oh28kh1ph0n\"res4a_1x1a\"", false},
    {"g32mb1ic512ih28oc512oh14kh3sh2ph1n\"res4a_3x3\"", false},
    {"mb1ic512ih14oc1024oh14kh1ph0n\"res4a_1x1b*6\"", false},
    {"mb1ic512ih28oc1024oh14kh1sh2ph0n\"res4a_shortcut\"", false},
    {"mb1ic1024ih14oc512oh14kh1ph0n\"res4b_1x1a*5\"", false},
    {"g32mb1ic512ih14oc512oh14kh3ph1n\"res4b_3x3*5\"", false},
    {"mb1ic1024ih14oc1024oh14kh1ph0n\"res5a_1x1a\"", false},
    {"g32mb1ic1024ih14oc1024oh7kh3sh2ph1n\"res5a_3x3\"", false},
    {"mb1ic1024ih7oc2048oh7kh1ph0n\"res5a_1x1b*3\"", false},
    {"mb1ic1024ih14oc2048oh7kh1sh2ph0n\"res5a_shortcut\"", false},
    {"mb1ic2048ih7oc1024oh7kh1ph0n\"res5b_1x1a*2\"", false},
    {"g32mb1ic1024ih7oc1024oh7kh3ph1n\"res5b_3x3*2\"", false},
};

/* van den Oord et al., "WaveNet: a generative model for raw audio", arXiv:1609.03499. The paper gives no channel counts: those
 * of wavenet_params.json (ibab/tensorflow-wavenet). One second at 16 kHz, causal: all padding is at the begin, as in the paper.
 * The last layer's dense 1x1, which nothing reads, is counted as that program computes it. */
static const struct net_layer wavenet[] = {
    {"mb1ic256iw16000oc32ow16000kw2pw1n\"causal\"", false},
    {"mb1ic32iw16000oc32ow16000kw2pw1n\"dilation1_filter_gate*10\"", false},
    {"mb1ic32iw16000oc32ow16000kw1pw0n\"dense*50\"", false},
    {"mb1ic32iw16000oc512ow16000kw1pw0n\"skip*50\"", false},
    {"mb1ic32iw16000oc32ow16000kw2pw2dw1n\"dilation2_filter_gate*10\"", false},
    {"mb1ic32iw16000oc32ow16000kw2pw4dw3n\"dilation4_filter_gate*10\"", false},
    {"mb1ic32iw16000oc32ow16000kw2pw8dw7n\"dilation8_filter_gate*10\"", false},
    {"mb1ic32iw16000oc32ow16000kw2pw16dw15n\"dilation16_filter_gate*10\"", false},
    {"mb1ic32iw16000oc32ow16000kw2pw32dw31n\"dilation32_filter_gate*10\"", false},
    {"mb1ic32iw16000oc32ow16000kw2pw64dw63n\"dilation64_filter_gate*10\"", false},
    {"mb1ic32iw16000oc32ow16000kw2pw128dw127n\"dilation128_filter_gate*10\"", false},
    {"mb1ic32iw16000oc32ow16000kw2pw256dw255n\"dilation256_filter_gate*10\"", false},
    {"mb1ic32iw16000oc32ow16000kw2pw512dw511n\"dilation512_filter_gate*10\"", false},
    {"mb1ic512iw16000oc512ow16000kw1pw0n\"postprocess1\"", false},
    {"mb1ic512iw16000oc256ow16000kw1pw0n\"postprocess2\"", false},
};

/* Carreira, Zisserman, "Quo vadis, action recognition?", CVPR 2017: Inception v1 inflated, 64 RGB frames of 224x224. i3d.py
 * (deepmind/kinetics-i3d) with its "SAME" padding: 2 zeros before and 3 behind in the first layer. */
static const struct net_layer i3d[] = {
    {"mb1ic3id64ih224iw224oc64od32oh112ow112kd7kh7kw7sd2sh2sw2pd2ph2pw2n\"1a_7x7\"", false},
    {"mb1ic64id32ih56iw56oc64od32oh56ow56kd1kh1kw1pd0ph0pw0n\"2b_1x1\"", false},
    {"mb1ic64id32ih56iw56oc192od32oh56ow56kd3kh3kw3pd1ph1pw1n\"2c_3x3\"", false},
    {"mb1ic192id32ih28iw28oc64od32oh28ow28kd1kh1kw1pd0ph0pw0n\"3b_0\"", false},
    {"mb1ic192id32ih28iw28oc96od32oh28ow28kd1kh1kw1pd0ph0pw0n\"3b_1a\"", false},
    {"mb1ic96id32ih28iw28oc128od32oh28ow28kd3kh3kw3pd1ph1pw1n\"3b_1b\"", false},
    {"mb1ic192id32ih28iw28oc16od32oh28ow28kd1kh1kw1pd0ph0pw0n\"3b_2a\"", false},
    {"mb1ic16id32ih28iw28oc32od32oh28ow28kd3kh3kw3pd1ph1pw1n\"3b_2b\"", false},
    {"mb1ic192id32ih28iw28oc32od32oh28ow28kd1kh1kw1pd0ph0pw0n\"3b_3\"", false},
    {"mb1ic256id32ih28iw28oc128od32oh28ow28kd1kh1kw1pd0ph0pw0n\"3c_0*2\"", false},
    {"mb1ic128id32ih28iw28oc192od32oh28ow28kd3kh3kw3pd1ph1pw1n\"3c_1b\"", false},
    {"mb1ic256id32ih28iw28oc32od32oh28ow28kd1kh1kw1pd0ph0pw0n\"3c_2a\"", false},
    {"mb1ic32id32ih28iw28oc96od32oh28ow28kd3kh3kw3pd1ph1pw1n\"3c_2b\"", false},
    {"mb1ic256id32ih28iw28oc64od32oh28ow28kd1kh1kw1pd0ph0pw0n\"3c_3\"", false},
    {"mb1ic480id16ih14iw14oc192od16oh14ow14kd1kh1kw1pd0ph0pw0n\"4b_0\"", false},
    {"mb1ic480id16ih14iw14oc96od16oh14ow14kd1kh1kw1pd0ph0pw0n\"4b_1a\"", false},
    {"mb1ic96id16ih14iw14oc208od16oh14ow14kd3kh3kw3pd1ph1pw1n\"4b_1b\"", false},
    {"mb1ic480id16ih14iw14oc16od16oh14ow14kd1kh1kw1pd0ph0pw0n\"4b_2a\"", false},
    {"mb1ic16id16ih14iw14oc48od16oh14ow14kd3kh3kw3pd1ph1pw1n\"4b_2b\"", false},
    {"mb1ic480id16ih14iw14oc64od16oh14ow14kd1kh1kw1pd0ph0pw0n\"4b_3\"", false},
    {"mb1ic512id16ih14iw14oc160od16oh14ow14kd1kh1kw1pd0ph0pw0n\"4c_0\"", false},
    {"mb1ic512id16ih14iw14oc112od16oh14ow14kd1kh1kw1pd0ph0pw0n\"4c_1a*2\"", false},
    {"mb1ic112id16ih14iw14oc224od16oh14ow14kd3kh3kw3pd1ph1pw1n\"4c_1b\"", false},
    {"mb1ic512id16ih14iw14oc24od16oh14ow14kd1kh1kw1pd0ph0pw0n\"4c_2a*2\"", false},
    {"mb1ic24id16ih14iw14oc64od16oh14ow14kd3kh3kw3pd1ph1pw1n\"4c_2b*2\"", false},
    {"mb1ic512id16ih14iw14oc64od16oh14ow14kd1kh1kw1pd0ph0pw0n\"4c_3*3\"", false},
    {"mb1ic512id16ih14iw14oc128od16oh14ow14kd1kh1kw1pd0ph0pw0n\"4d_0*2\"", false},
    {"mb1ic128id16ih14iw14oc256od16oh14ow14kd3kh3kw3pd1ph1pw1n\"4d_1b\"", false},
    {"mb1ic512id16ih14iw14oc144od16oh14ow14kd1kh1kw1pd0ph0pw0n\"4e_1a\"", false},
    {"mb1ic144id16ih14iw14oc288od16oh14ow14kd3kh3kw3pd1ph1pw1n\"4e_1b\"", false},
    {"mb1ic512id16ih14iw14oc32od16oh14ow14kd1kh1kw1pd0ph0pw0n\"4e_2a\"", false},
    {"mb1ic32id16ih14iw14oc64od16oh14ow14kd3kh3kw3pd1ph1pw1n\"4e_2b\"", false},
    {"mb1ic528id16ih14iw14oc256od16oh14ow14kd1kh1kw1pd0ph0pw0n\"4f_0\"", false},
    {"mb1ic528id16ih14iw14oc160od16oh14ow14kd1kh1kw1pd0ph0pw0n\"4f_1a\"", false},
    {"mb1ic160id16ih14iw14oc320od16oh14ow14kd3kh3kw3pd1ph1pw1n\"4f_1b\"", false},
    {"mb1ic528id16ih14iw14oc32od16oh14ow14kd1kh1kw1pd0ph0pw0n\"4f_2a\"", false},
    {"mb1ic32id16ih14iw14oc128od16oh14ow14kd3kh3kw3pd1ph1pw1n\"4f_2b\"", false},
    {"mb1ic528id16ih14iw14oc128od16oh14ow14kd1kh1kw1pd0ph0pw0n\"4f_3\"", false},
    {"mb1ic832id8ih7iw7oc256od8oh7ow7kd1kh1kw1pd0ph0pw0n\"5b_0\"", false},
    {"mb1ic832id8ih7iw7oc160od8oh7ow7kd1kh1kw1pd0ph0pw0n\"5b_1a\"", false},
    {"mb1ic160id8ih7iw7oc320od8oh7ow7kd3kh3kw3pd1ph1pw1n\"5b_1b\"", false},
    {"mb1ic832id8ih7iw7oc32od8oh7ow7kd1kh1kw1pd0ph0pw0n\"5b_2a\"", false},
    {"mb1ic32id8ih7iw7oc128od8oh7ow7kd3kh3kw3pd1ph1pw1n\"5b_2b\"", false},
    {"mb1ic832id8ih7iw7oc128od8oh7ow7kd1kh1kw1pd0ph0pw0n\"5b_3*2\"", false},
    {"mb1ic832id8ih7iw7oc384od8oh7ow7kd1kh1kw1pd0ph0pw0n\"5c_0\"", false},
    {"mb1ic832id8ih7iw7oc192od8oh7ow7kd1kh1kw1pd0ph0pw0n\"5c_1a\"", false},
    {"mb1ic192id8ih7iw7oc384od8oh7ow7kd3kh3kw3pd1ph1pw1n\"5c_1b\"", false},
    {"mb1ic832id8ih7iw7oc48od8oh7ow7kd1kh1kw1pd0ph0pw0n\"5c_2a\"", false},
    {"mb1ic48id8ih7iw7oc128od8oh7ow7kd3kh3kw3pd1ph1pw1n\"5c_2b\"", false},
    {"mb1ic1024id7ih1iw1oc400od7oh1ow1kd1kh1kw1pd0ph0pw0n\"logits\"", false},
};

/* Radford, Metz, Chintala, "Unsupervised representation learning with deep convolutional generative adversarial networks",
 * ICLR 2016: the generator of 64x64 images as published in Torch (soumith/dcgan.torch, pytorch/examples dcgan/main.py): 4x4
 * kernels, ngf 64, nz 100. */
static const struct net_layer dcgan[] = {
    {"mb1ic100ih1oc512oh4kh4ph0n\"tconv1\"", true},
    {"mb1ic512ih4oc256oh8kh4sh2ph1n\"tconv2\"", true},
    {"mb1ic256ih8oc128oh16kh4sh2ph1n\"tconv3\"", true},
    {"mb1ic128ih16oc64oh32kh4sh2ph1n\"tconv4\"", true},
    {"mb1ic64ih32oc3oh64kh4sh2ph1n\"tconv5\"", true},
};

#define NET(name, about) {#name, about, name, sizeof name / sizeof name[0]}

const struct net nets[] = {
    NET(resnet50, "ResNet-50 v1.5, 224x224"),
    NET(vgg16, "VGG-16 (configuration D), 224x224"),
    NET(mobilenet_v1, "MobileNet v1 1.0, 224x224"),
    NET(mobilenet_v2, "MobileNet v2 1.0, 224x224"),
    NET(googlenet_v3, "Inception v3, 299x299"),
    NET(unet, "U-Net without padding, 572x572"),
    NET(resnext50, "ResNeXt-50 32x4d, 224x224"),
    NET(wavenet, "WaveNet, 1-D, 5 x 10 dilated layers, 16000 samples"),
    NET(i3d, "I3D, 3-D, 64 frames of 224x224"),
    NET(dcgan, "DCGAN generator, transposed, 64x64"),
};
/* clang-format on */

const size_t net_count = sizeof nets / sizeof nets[0];

const struct net *net_find(const char *name)
{
    for (size_t i = 0; i < net_count; ++i)
        if (strcmp(nets[i].name, name) == 0)
            return &nets[i];
    return NULL;
}
